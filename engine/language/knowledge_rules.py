"""The meaning of `scores` and `rfm`, and names that every customer has already."""

from __future__ import annotations

from engine.language import expressing
from engine.language.catalogue import BUILT_IN_ATTRIBUTES, PERSONALISE
from engine.language.diagnostics import Reporter, listed, nearest
from engine.language.expressing import Place
from engine.language.expressions import Scope
from engine.language.knowledge import RFM_ATTRIBUTES, RFM_SCORES
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.words import Lookup, Words


def check_knowledge(root: Mapping, words: Words, reporter: Reporter) -> None:
    """Everything about them but the expressions of scores, which are checked as definitions."""
    lookup = Lookup(words, reporter)
    declared = root.get("profile")
    taken = set(BUILT_IN_ATTRIBUTES) | (set(declared.keys) if isinstance(declared, Mapping) else set())
    if isinstance(declared, Mapping):
        _personalise(declared, words, reporter)
    scores, rfm = root.get("scores"), root.get("rfm")
    for name, key in scores.keys.items() if isinstance(scores, Mapping) else ():
        if name in taken:
            reporter.error("J319", key.mark, f"`{name[:60]}` already is an attribute of the profile")
        _weights(scores.values[name] if isinstance(scores, Mapping) else None, lookup)
    if not isinstance(rfm, Mapping):
        return
    scored = set(scores.keys) if isinstance(scores, Mapping) else set()
    for name in sorted((taken | scored) & set(RFM_ATTRIBUTES)):
        where = declared if isinstance(declared, Mapping) and name in declared.keys else scores
        if isinstance(where, Mapping):
            reporter.error(
                "J319", where.keys[name].mark, f"`{name}` is what `rfm` already gives each customer"
            )
    _money(rfm.get("money"), lookup.event(rfm.get("event")), words, reporter)
    _segments(rfm.get("segments"), reporter)


def _personalise(declared: Mapping, words: Words, reporter: Reporter) -> None:
    about = words.catalogue.profile.get(PERSONALISE)
    if about is not None and (about.type != "boolean" or about.computed is not None):
        said = f"every customer already has `{PERSONALISE}`, true or false"
        reporter.error("J319", declared.keys[PERSONALISE].mark, said)


def _weights(score: Node | None, lookup: Lookup) -> None:
    weights = score.get("weights") if isinstance(score, Mapping) else None
    for key in weights.keys.values() if isinstance(weights, Mapping) else ():
        lookup.event(key)


def _money(node: Node | None, event: str | None, words: Words, reporter: Reporter) -> None:
    name, known = text_of(node), words.catalogue.event(event) if event is not None else None
    if name is None or known is None or not isinstance(node, Scalar):
        return
    about = known.properties.get(name)
    if about is None:
        reporter.error(
            "J302",
            node.mark,
            f"unknown property `{name[:60]}` of `{known.name}`",
            expected=f"one of {listed(known.properties)}" if known.properties else "a declared property",
            hint=nearest(name, known.properties) or "declare it with the event",
        )
    elif about.type != "number":
        reporter.error(
            "J506", node.mark, f"`{name[:60]}` is declared as {about.type}", expected="a number to add up"
        )


def _segments(node: Node | None, reporter: Reporter) -> None:
    place = Place(Scope(profile=dict.fromkeys(RFM_SCORES, "number")))
    seen: set[str] = set()
    for each in node.items if isinstance(node, Sequence) else ():
        if not isinstance(each, Mapping):
            continue
        name = text_of(each.get("name"))
        if name is not None and name in seen and (at := each.get("name")) is not None:
            reporter.error("J319", at.mark, f"segment `{name[:60]}` of `rfm` is declared twice")
        seen.add(name or "")
        expressing.check(each.get("where"), place, reporter, condition=True)
