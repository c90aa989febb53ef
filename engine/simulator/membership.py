"""Who is in which segment, and when time alone may change it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from engine.language.expressions import Definitions, compile_expression, parse, walk
from engine.language.expressions.requirements import Requirements, add_needs, texts_of
from engine.language.expressions.tree import Call, Constant, Now
from engine.language.lengths import parse_length
from engine.simulator.journey import Closure
from engine.simulator.person import Person

if TYPE_CHECKING:
    from engine.simulator.simulation import Simulation

LOOK: Final = timedelta(hours=1)
"""How often segments are looked at for time alone: on the full hour."""


def in_segment(name: str) -> Closure:
    """The condition that a customer is in the segment."""
    return compile_expression(f"in_segment({json.dumps(name, ensure_ascii=False)})")


class Membership:
    """All segments of a run's catalogue."""

    def __init__(self, run: Simulation) -> None:
        self._run = run
        self._segments = [(name, in_segment(name)) for name in run.surroundings.catalogue.segments]
        staged = run.heard("stage.changed") and bool(run.definitions.stages)
        self._stage = compile_expression("stage()") if staged else None
        self._always, self._windows = _clocks(run.definitions, staged)

    def inside(self, person: Person, at: datetime) -> frozenset[str]:
        """The segments that the customer is in."""
        facts = self._run.facts_of(person, at, None, None)
        return frozenset(name for name, condition in self._segments if condition(facts) is True)

    def stage(self, person: Person, at: datetime) -> str | None:
        """The stage that the customer is in; None where nobody asks."""
        if self._stage is None:
            return None
        found = self._stage(self._run.facts_of(person, at, None, None))
        return found if isinstance(found, str) else None

    def next_look(self, person: Person, at: datetime) -> datetime | None:
        """The next full hour at which time alone may have changed something; None if it cannot."""
        following = _full_hour(at) + LOOK
        if self._always:
            return following
        found = []
        for name, within in self._windows:
            for one in person.history.get(name, ()):
                leaves = _full_hour(one.at + within)
                # At the very end of its window, or just after.
                found += [each for each in (leaves, leaves + LOOK) if each >= following]
        return min(found, default=None)


def _full_hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _clocks(definitions: Definitions, staged: bool) -> tuple[bool, tuple[tuple[str, timedelta], ...]]:
    """Whether segments, or stages too, ask for the time itself; the (event, length) over which they count."""
    always, windows = False, dict[tuple[str, timedelta], None]()
    for text in _texts(definitions, staged):
        for node in walk(parse(text)):
            match node:
                case Now() | Call("days_since"):
                    always = True
                case Call("count" | "total", (Constant(str(event)), *_, Constant(str(last)))):
                    within = parse_length(last)
                    if within is not None:
                        windows[event, within] = None
    return always, tuple(windows)


def _texts(definitions: Definitions, staged: bool) -> Iterable[str]:
    """What segments, or stages too, say, and what they use."""
    waiting, seen = list(definitions.segments.values()), set[tuple[str, str]]()
    if staged:
        waiting += [where for _, where in definitions.stages if where is not None]
    while waiting:
        text = waiting.pop()
        yield text
        for place in sorted(add_needs(text, Requirements(), definitions)):
            if place not in seen:
                seen.add(place)
                waiting += texts_of(place, definitions)
