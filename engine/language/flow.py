"""The way through the steps of one journey, as far as the file alone shows it.

Walks the nodes in the order in which customers do. What is known at a step: which events can be `event`
there, which answers are saved, and whether anybody gets there at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from engine.language.diagnostics import Reporter
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.schema import VERBS


@dataclass(frozen=True, slots=True)
class Known:
    """What holds when a step begins. `events` are those that can be `event` there."""

    events: frozenset[str]
    answers: frozenset[str] = frozenset()

    def with_event(self, name: str | None) -> Known:
        return self if name is None else replace(self, events=frozenset((name,)))

    def joined(self, other: Known) -> Known:
        return Known(self.events | other.events, self.answers | other.answers)


@dataclass(frozen=True, slots=True)
class Visit:
    """One step on the way."""

    id: str | None
    node: Mapping
    verb: str
    spec: Node
    known: Known


def children(verb: str, spec: Node) -> Iterator[tuple[str | None, Node, str | None]]:
    """The arms of a step: what it is called, its list of steps, and the event that leads into it."""
    if verb == "branch":
        for case in spec.items if isinstance(spec, Sequence) else ():
            if isinstance(case, Mapping):
                arm = case.get("otherwise") if "otherwise" in case.keys else case.get("steps")
                if arm is not None:
                    yield ("otherwise" if "otherwise" in case.keys else None), arm, None
        return
    if not isinstance(spec, Mapping):
        return
    if verb == "split":
        variants = spec.get("variants")
        for variant in variants.items if isinstance(variants, Sequence) else ():
            if isinstance(variant, Mapping) and (arm := variant.get("steps")) is not None:
                yield text_of(variant.get("name")), arm, None
    elif verb == "wait":
        if (arm := spec.get("then")) is not None:
            yield "then", arm, text_of(spec.get("for_event"))
        entries = spec.get("first_of")
        for entry in entries.items if isinstance(entries, Sequence) else ():
            if isinstance(entry, Mapping) and (arm := entry.get("steps")) is not None:
                yield None, arm, text_of(entry.get("event"))
        if (arm := spec.get("otherwise")) is not None:
            yield "otherwise", arm, None


def every_step(steps: Node | None) -> Iterator[tuple[Mapping, str | None, str | None, Node | None]]:
    """All steps in file order, reachable or not: (node, id, verb, spec)."""
    for node in steps.items if isinstance(steps, Sequence) else ():
        if not isinstance(node, Mapping):
            continue
        verb = next((key for key in node.keys if key in VERBS), None)
        spec = node.get(verb) if verb is not None else None
        yield node, text_of(node.get("id")), verb, spec
        if verb is not None and spec is not None:
            for _, arm, _ in children(verb, spec):
                yield from every_step(arm)


def walk(steps: Node | None, known: Known, reporter: Reporter, visits: list[Visit]) -> Known | None:
    """Visit the steps in order; what is known behind them, None if nobody gets there."""
    here: Known | None = known
    last = known
    stopped: str | None = None
    for node in steps.items if isinstance(steps, Sequence) else ():
        if not isinstance(node, Mapping):
            continue
        verb = next((key for key in node.keys if key in VERBS), None)
        if verb is None:
            continue
        if here is None and stopped is not None:
            _unreachable(node, stopped, reporter)
            stopped = None
        # What nobody reaches is still checked, as if it were reached.
        last = here if here is not None else last
        after = _step(node, verb, last, reporter, visits)
        if here is not None:
            here = after
            if after is None:
                stopped = verb
    return here


def _unreachable(node: Mapping, after: str, reporter: Reporter) -> None:
    at = node.keys["id"].mark if "id" in node.keys else node.mark
    name = text_of(node.get("id")) or "this step"
    if after == "stop":
        reporter.warning(
            "J407",
            at,
            f"`{name}` comes after `stop` and is never reached",
            hint="delete it, or move it before `stop`",
        )
    else:
        reporter.error(
            "J402",
            at,
            f"`{name}` is never reached: every arm of the {after} before it stops",
            hint="delete it, or leave the `stop` out of one arm",
        )


def _step(node: Mapping, verb: str, known: Known, reporter: Reporter, visits: list[Visit]) -> Known | None:
    spec = node.values[verb]
    visits.append(Visit(text_of(node.get("id")), node, verb, spec, known))
    if verb == "stop":
        return None
    if verb in ("webhook", "action") and isinstance(spec, Mapping):
        saved = text_of(spec.get("save_as"))
        return known if saved is None else replace(known, answers=known.answers | {saved})
    behind: list[Known | None] = [
        walk(arm, known.with_event(event), reporter, visits) for _, arm, event in children(verb, spec)
    ]
    behind += [known.with_event(event) for event in _open_ends(verb, spec)]
    if not behind:
        return known
    reached = [each for each in behind if each is not None]
    if not reached:
        return None
    result = reached[0]
    for other in reached[1:]:
        result = result.joined(other)
    return result


def _open_ends(verb: str, spec: Node) -> list[str | None]:
    """Ways past a step that lead through no arm, by the event that leads there."""
    if verb == "branch":
        named = [name for name, _, _ in children(verb, spec)]
        return [] if "otherwise" in named else [None]
    if verb != "wait" or not isinstance(spec, Mapping):
        return []
    ends: list[str | None] = []
    if "for_event" in spec.keys and "then" not in spec.keys:
        ends.append(text_of(spec.get("for_event")))
    entries = spec.get("first_of")
    for entry in entries.items if isinstance(entries, Sequence) else ():
        if isinstance(entry, Mapping) and "steps" not in entry.keys:
            ends.append(text_of(entry.get("event")))
    if "up_to" in spec.keys and "otherwise" not in spec.keys:
        ends.append(None)
    return ends


def check_ids(steps: Node | None, reporter: Reporter) -> None:
    """Every id is used once in the file."""
    seen: dict[str, int] = {}
    for node, name, _, _ in every_step(steps):
        if name is None:
            continue
        mark = node.values["id"].mark
        if name in seen:
            reporter.error(
                "J401", mark, f"the id `{name}` is used twice", hint=f"the first is on line {seen[name]}"
            )
        seen.setdefault(name, mark.line)


def check_split(spec: Node, reporter: Reporter) -> None:
    """Weights add up to 100, names differ, and no arm is too small to learn from."""
    variants = spec.get("variants") if isinstance(spec, Mapping) else None
    if not isinstance(variants, Sequence):
        return
    total = Decimal(0)
    whole = True
    names: set[str] = set()
    for variant in variants.items:
        weight = variant.get("weight") if isinstance(variant, Mapping) else None
        name = text_of(variant.get("name")) if isinstance(variant, Mapping) else None
        if isinstance(variant, Mapping) and name is not None:
            if name in names:
                reporter.error("J319", variant.values["name"].mark, f"variant `{name}` is named twice")
            names.add(name)
        if (
            not isinstance(weight, Scalar)
            or not isinstance(weight.value, int | float)
            or isinstance(weight.value, bool)
        ):
            whole = False
            continue
        share = Decimal(weight.text)
        if share != round(share, 2):
            reporter.error("J218", weight.mark, f"weight {weight.text}", expected="at most two decimals")
            whole = False
        if 0 <= share < 5:
            reporter.warning(
                "J406",
                weight.mark,
                f"variant `{name}` gets only {weight.text} % of the customers",
                hint="so small an arm rarely says anything; `holdout` is for keeping some out",
            )
        total += share
    if whole and total != 100:
        reporter.error(
            "J403", variants.mark, f"the weights add up to {total.normalize():f}", expected="100 in all"
        )
