"""What is followed: segments whose history is kept, the stage, tags that a rule keeps.

A segment is followed if the catalogue says so (`history: true`), or as soon as a journey that is live listens
to `segment.entered` or `segment.left` of it. The stage is followed where stages are declared, a tag where it
has a rule. What is followed stays so until the catalogue drops it, or says `history: false`: enrolments under
way may wait for its events.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.core.plan import Condition, Plan
from engine.customers.facts import definitions_of
from engine.language.catalogue import Catalogue
from engine.language.expressions import Requirements, parse, places_used, requirements, texts_of, walk
from engine.language.expressions.tree import Constant
from engine.store.derived import Followed, Place

STAGE: Final[Place] = ("stage", "")
SEGMENT_EVENTS: Final = frozenset({"segment.entered", "segment.left"})
OWN_EVENTS: Final = SEGMENT_EVENTS | {"stage.changed"}
"""They follow from what is followed: nobody is looked at again because of them."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What can be followed by a catalogue, each with the expression to ask and the digest of its meaning."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    texts: Mapping[Place, str] = field(default_factory=dict)
    digests: Mapping[Place, str] = field(default_factory=dict)
    _needs: dict[frozenset[Place], Requirements] = field(default_factory=dict, repr=False, compare=False)

    def standing(self, followed: Iterable[Followed]) -> frozenset[Place]:
        """Those that everybody was looked at for, in the meaning they have now."""
        return frozenset(f.place for f in followed if f.filled and self.digests.get(f.place) == f.digest)

    def needs(self, places: frozenset[Place]) -> Requirements:
        """What must be known of a customer to tell these."""
        if places not in self._needs:
            self._needs[places] = requirements(
                [self.texts[place] for place in sorted(places)], definitions_of(self.catalogue)
            )
        return self._needs[places]


def meaning_of(catalogue: Catalogue) -> Meaning:
    """Everything in a catalogue that can be followed."""
    texts: dict[Place, str] = {("segment", name): in_segment(name) for name in catalogue.segments}
    if catalogue.stages:
        texts[STAGE] = "stage()"
    texts |= {("tag", name): where for name, where in catalogue.rules.items()}
    return Meaning(catalogue, texts, {place: _digest(text, catalogue) for place, text in texts.items()})


def in_segment(name: str) -> str:
    """The expression that asks for a segment."""
    return f"in_segment({json.dumps(name, ensure_ascii=False)})"


def _digest(text: str, catalogue: Catalogue) -> str:
    definitions = definitions_of(catalogue)
    used = places_used(text, definitions)
    meant = [text, [(place, texts_of(place, definitions)) for place in used]]
    names = [stage.name for stage in catalogue.stages] if STAGE in used else []
    return hashlib.sha256(json.dumps([meant, names], ensure_ascii=False).encode()).hexdigest()


def to_follow(meaning: Meaning, plans: Iterable[Plan], followed: Iterable[Place]) -> frozenset[Place]:
    """What is to be followed: `plans` are live, `followed` is so already."""
    histories = meaning.catalogue.histories
    heard = _heard(meaning.catalogue, plans)
    kept = {name for kind, name in followed if kind == "segment" and histories.get(name) is not False}
    segments = heard | kept | {name for name, wanted in histories.items() if wanted}
    return frozenset(place for place in meaning.texts if place[0] != "segment" or place[1] in segments)


def _heard(catalogue: Catalogue, plans: Iterable[Plan]) -> set[str]:
    """Segments whose events journeys listen to: those that the condition names, all if it names none."""
    found: set[str] = set()
    for plan in plans:
        for event, where in _listens(plan):
            if event in SEGMENT_EVENTS:
                named = _named(where) & catalogue.segments.keys()
                found |= named or catalogue.segments.keys()
    return found


def _listens(plan: Plan) -> Iterable[tuple[str | None, str | None]]:
    yield plan.trigger.event, plan.trigger.where
    conditions: list[Condition] = list(plan.conditions())
    if plan.trigger.unless is not None:
        conditions.append(plan.trigger.unless)
    yield from ((condition.event, condition.where) for condition in conditions)


def _named(where: str | None) -> set[str]:
    if where is None:
        return set()
    return {
        node.value
        for node in walk(parse(where))
        if isinstance(node, Constant) and isinstance(node.value, str)
    }
