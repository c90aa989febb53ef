"""Which ways through a journey its scenarios take: steps begun, and arms of branches, splits and waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.core.commands import Trace
from engine.core.plan import Branch, Plan, Split, WaitEvent
from engine.core.words import arm_in_words

Place = tuple[str, str | None]
"""A step, or with a second part one of its arms."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one journey. Lists are in file order."""

    journey: str
    taken: int
    places: int
    steps_missed: tuple[str, ...]
    arms_missed: tuple[tuple[str, str, str], ...]
    """(step, arm, the arm in words)."""

    @property
    def percent(self) -> float:
        return 100.0 * self.taken / self.places if self.places else 100.0


def places(plan: Plan) -> list[Place]:
    """Every step and every arm of a plan, in file order. What comes of a wait's time limit and of a branch
    where nothing holds are arms too, written out or not."""
    found: list[Place] = []
    for step in plan.steps.values():
        found.append((step.id, None))
        match step:
            case Split():
                found += [(step.id, variant.name) for variant in step.variants if variant.weight > 0]
            case Branch():
                found += [(step.id, str(place)) for place in range(len(step.cases))]
                found.append((step.id, "otherwise"))
            case WaitEvent():
                found += [(step.id, arm.when.id) for arm in step.arms]
                if step.up_to is not None:
                    found.append((step.id, "otherwise"))
    return found


def coverage(plan: Plan, traces: Iterable[Iterable[Trace]]) -> Coverage:
    """What the traces of a journey's enrolments took of it."""
    taken: set[Place] = set()
    for trace in traces:
        for line in trace:
            if line.step is not None and line.result in ("began", "took"):
                taken.add((line.step, line.detail if line.result == "took" else None))
    wanted = places(plan)
    missed = [place for place in wanted if place not in taken]
    return Coverage(
        plan.journey,
        len(wanted) - len(missed),
        len(wanted),
        tuple(step for step, arm in missed if arm is None),
        tuple((step, arm, arm_in_words(plan, step, arm)) for step, arm in missed if arm is not None),
    )
