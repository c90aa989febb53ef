"""A plan with its expressions compiled, so that routing an event costs a look-up and a few closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core.plan import Condition, Plan
from engine.language.expressions import Facts, compile_expression

Closure = Callable[[Facts], Any]
Judged = tuple[str, Closure | None]
"""A condition's id, and what must hold of the event (None: nothing)."""


class SimulatedJourney:
    """One journey of a simulation. `paused` is the journey's own, as an operator sets it."""

    __slots__ = ("_conditions", "name", "one_per", "paused", "plan", "unless", "unless_event", "where")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.name = plan.journey
        self.paused = False
        trigger = plan.trigger
        self.where = _compiled(trigger.where)
        self.one_per = _compiled(trigger.one_per)
        self.unless_event = trigger.unless.event if trigger.unless is not None else None
        self.unless = _compiled(trigger.unless.where) if trigger.unless is not None else None
        self._conditions: dict[tuple[str, bool], tuple[Judged, ...]] = {}

    def conditions(self, event: str, own: bool) -> tuple[Judged, ...]:
        """What an event of this name can meet in a live enrolment."""
        found = self._conditions.get((event, own))
        if found is None:
            found = tuple(map(_judged, self.plan.conditions_for(event, own)))
            self._conditions[event, own] = found
        return found


def _judged(condition: Condition) -> Judged:
    return (condition.id, _compiled(condition.where))


def _compiled(text: str | None) -> Closure | None:
    return None if text is None else compile_expression(text)
