"""The meaning of one journey: references, expressions in their scope, and its flow."""

from __future__ import annotations

from engine.language import flow
from engine.language.diagnostics import Reporter
from engine.language.loader import Mapping, Scalar, Sequence, text_of
from engine.language.words import Enterable, Lookup, Words


def enterable(root: Mapping) -> Enterable:
    """What other files need to know of this journey."""
    trigger = root.get("trigger")
    manual = isinstance(trigger, Mapping) and "manual" in trigger.keys
    declared = trigger.get("manual") if isinstance(trigger, Mapping) else None
    properties = (
        {name: text_of(node) or "text" for name, node in declared.values.items()}
        if isinstance(declared, Mapping)
        else None
    )
    steps: dict[str, str] = {}
    variants: dict[str, tuple[str, ...]] = {}
    for _, name, verb, spec in flow.every_step(root.get("steps")):
        if name is None:
            continue
        steps[name] = verb or ""
        listed = spec.get("variants") if verb == "split" and isinstance(spec, Mapping) else None
        if isinstance(listed, Sequence):
            names = (text_of(each.get("name")) for each in listed.items if isinstance(each, Mapping))
            variants[name] = tuple(each for each in names if each is not None)
    return Enterable(manual, properties, steps, variants)


def check_journey(name: str, root: Mapping, words: Words, reporter: Reporter) -> None:
    """Everything about a journey that its shape does not show."""
    _Journey(name, root, words, reporter).check()


class _Journey:
    def __init__(self, name: str, root: Mapping, words: Words, reporter: Reporter) -> None:
        self.name = name
        self.root = root
        self.words = words
        self.reporter = reporter
        self.look = Lookup(words, reporter)

    def check(self) -> None:
        given = self.root.get("journey")
        if isinstance(given, Scalar) and text_of(given) not in (None, self.name):
            self.reporter.error(
                "J212",
                given.mark,
                f"the journey is called `{given.text[:60]}` but its file `{self.name}.yaml`",
                expected=f"`{self.name}`",
            )
        flow.check_ids(self.root.get("steps"), self.reporter)
        visits: list[flow.Visit] = []
        flow.walk(self.root.get("steps"), flow.Known(frozenset()), self.reporter, visits)
        for visit in visits:
            if visit.verb == "split":
                flow.check_split(visit.spec, self.reporter)
            elif visit.verb == "message":
                self.look.message(visit.spec)
