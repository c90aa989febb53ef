"""One effect on its way, while its batch is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from engine.core.inputs import Outcome, Settled
from engine.core.plan import Effect, Plan
from engine.delivery.facts import Look
from engine.delivery.ports import Answer, LiveProject, Order, Place
from engine.delivery.record import moved
from engine.delivery.sight import Enrolment
from engine.effects.ports import EffectPorts
from engine.ingest.recording import Internal
from engine.language.expressions import Facts, evaluate
from engine.language.types import Value
from engine.store import effects as rows
from engine.store.audiences import NewChange
from engine.store.effects import EffectSettlement
from engine.store.enrolments import Progress
from engine.store.profiles import Change


@dataclass(slots=True)
class Job:
    order: Order
    step: Effect
    plan: Plan
    enrolment: Enrolment
    row: rows.Effect
    facts: Facts

    def values(self, table: str) -> dict[str, Value]:
        """The values of `set`, `with` or `body`: text is an expression, all else is itself."""
        return {name: self._value(given) for name, given in (self.step.spec.get(table) or {}).items()}

    def _value(self, given: Any) -> Value:
        return evaluate(given, self.facts) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class Staged:
    """A stage that a step sets. `before` is what was said by hand before."""

    place: Place
    profile_id: str
    before: str | None
    stage: str
    at: datetime


@dataclass(slots=True)
class Turn:
    """One transaction's worth of decisions on a batch, thrown away if the transaction must run again."""

    ports: EffectPorts
    project: LiveProject
    answers: dict[Place, Answer] = field(default_factory=dict)
    settlements: list[EffectSettlement] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    changes: list[tuple[Place, Change]] = field(default_factory=list)
    events: list[tuple[Place, Internal]] = field(default_factory=list)
    stages: list[Staged] = field(default_factory=list)
    audience_changes: list[tuple[Place, NewChange]] = field(default_factory=list)

    def at(self, order: Order) -> datetime:
        return self.ports.at(order.at)

    def settle(self, job: Job, result: Outcome, reason: str | None = None, answer: Any = None) -> None:
        """How a job came out. What it saves as an answer is null unless it is done."""
        place = job.order.place
        self.answers[place] = Settled(job.order.step, result, self.at(job.order), reason=reason)
        self.settlements.append(EffectSettlement(job.row.row_key, job.row.attempts, result, answer, reason))
        progress = moved(job.order, job.plan, job.enrolment, self.answers[place])
        if job.step.save_as is not None:
            progress = replace(progress or Progress(place[0]), answers={job.step.save_as: answer})
        if progress is not None:
            self.progress.append(progress)


def look_of(order: Order, step: Effect, plan: Plan, enrolment: Enrolment) -> Look:
    """What must be known to evaluate everything that the step writes down."""
    return Look(enrolment, plan, order.at, order.event_id, tuple(texts_of(step.spec)))


def texts_of(spec: Mapping[str, Any]) -> list[str]:
    """The expressions of a step."""
    tables = (spec.get(name) or {} for name in ("set", "with", "body"))
    return [given for table in tables for given in table.values() if isinstance(given, str)]


def outcome_of(row: rows.Effect, at: datetime) -> Settled:
    """How a settled row came out."""
    results: dict[str, Outcome] = {"done": "done", "skipped": "skipped", "unknown": "unknown"}
    return Settled(row.step, results.get(row.state, "failed"), at, reason=row.error)
