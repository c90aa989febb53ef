"""Which enrolments an event concerns: wakes for the live ones, conversions for all.

An enrolment sees the events after its own position: never its trigger, nor what came before it. Only
events for which some condition of its plan holds become wakes; a wake carries ids and instants, no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.core.convert import converts
from engine.core.identity import workflow_id
from engine.core.inputs import Control, EventSeen, Exit
from engine.core.plan import Condition, Plan
from engine.core.wire import to_json
from engine.ingest.conditions import Judge, is_own, trigger_at
from engine.ingest.entry import AFTER_ALL, Entrance, Position, position
from engine.language.types import Value
from engine.store.enrolments import Enrolment
from engine.store.events import Event
from engine.store.starts import Kind, NewStart


@dataclass(slots=True)
class Followed:
    """An enrolment that events are held against."""

    enrolment_id: str
    workflow_id: str
    profile_id: str
    plan: Plan
    trigger: Mapping[str, Value]
    trigger_event_id: str | None
    position: Position
    entered_at: datetime
    driver: str = "workflow"
    answers: Mapping[str, Any] = field(default_factory=dict)
    live: bool = True
    converted_at: datetime | None = None

    def conditions(self, event: Event) -> tuple[Condition, ...]:
        """What the event could meet here; nothing if this enrolment does not see it."""
        if event.event_id == self.trigger_event_id or (event.occurred_at, event.sequence) <= self.position:
            return ()
        own = is_own(event, self.enrolment_id)
        if self.live:
            return self.plan.conditions_for(event.name, own)
        goal = self.plan.goal
        if goal is None or goal.when.event != event.name or not (own or goal.when.any):
            return ()
        return (goal.when,) if self.converts_first(event) else ()

    def converts_first(self, event: Event) -> bool:
        """Whether the event would be the first to convert it. Events do not come in order: what occurred
        before an enrolment was known of is fed to it after the batch that let it in."""
        return self.converted_at is None or event.occurred_at < self.converted_at


def followed(row: Enrolment, plan: Plan, judge: Judge, known: Mapping[str, Event]) -> Followed:
    """An enrolment as its row has it. `known` has its trigger, where the order of arrival matters."""
    trigger = known.get(row.trigger_event_id or "")
    order = trigger.sequence if trigger is not None else AFTER_ALL
    return Followed(
        enrolment_id=row.id,
        workflow_id=row.workflow_id or workflow_id(row.journey, row.id),
        profile_id=row.profile_id,
        plan=plan,
        trigger=judge.trigger(plan, row.trigger, row.entered_at),
        trigger_event_id=row.trigger_event_id,
        position=position(plan, trigger_at(row.trigger, row.entered_at), order),
        entered_at=row.entered_at,
        driver=row.driver,
        answers=row.answers,
        live=row.status == "live",
        converted_at=row.converted_at,
    )


@dataclass(frozen=True, slots=True)
class Wake:
    """Something to hand to a live enrolment: the JSON of a core input."""

    enrolment_id: str
    workflow_id: str
    kind: Kind
    payload: dict[str, Any]
    driver: str = "workflow"


def starts_of(wakes: Iterable[Wake]) -> list[NewStart]:
    """What is handed to enrolments that are workflows, as rows of the outbox."""
    return [
        NewStart(wake.kind, wake.workflow_id, wake.enrolment_id, wake.payload)
        for wake in wakes
        if wake.driver == "workflow"
    ]


def calls_of(wakes: Iterable[Wake]) -> list[tuple[str, list[dict[str, Any]]]]:
    """What is handed to enrolments of the pool, in order for each."""
    found: dict[str, list[dict[str, Any]]] = {}
    for wake in wakes:
        if wake.driver == "pool":
            found.setdefault(wake.enrolment_id, []).append(wake.payload)
    return list(found.items())


class Followers:
    """The enrolments of one batch's customers, and what the batch means for them."""

    def __init__(
        self,
        followed: Iterable[Followed],
        judge: Judge,
        given_at: Callable[[datetime], datetime],
        instant: Callable[[datetime], datetime],
    ) -> None:
        self._judge = judge
        self._given_at = given_at
        self._instant = instant
        self._of_profile: dict[str, list[Followed]] = {}
        self._by_id: dict[str, Followed] = {}
        self.wakes: list[Wake] = []
        self.conversions: list[tuple[str, datetime]] = []
        for one in followed:
            self._add(one)

    def take(self, event: Event) -> None:
        """Every enrolment of this customer sees the event."""
        for one in self._of_profile.get(event.profile_id, ()):
            self._see(one, event)

    def enter(self, entrance: Entrance) -> None:
        """From now on the new enrolment is followed, and the one it supersedes has ended."""
        if entrance.supersedes is not None:
            self.end(entrance.supersedes, "superseded", entrance.entered_at)
        self._add(
            Followed(
                enrolment_id=entrance.enrolment_id,
                workflow_id=entrance.workflow_id,
                profile_id=entrance.profile_id,
                plan=entrance.plan,
                trigger=self._judge.trigger(entrance.plan, entrance.trigger_row(), entrance.entered_at),
                trigger_event_id=entrance.trigger.event_id,
                position=entrance.position,
                entered_at=entrance.entered_at,
                driver=entrance.plan.run_as,
            )
        )

    def feed(self, enrolment_id: str, events: Iterable[Event]) -> None:
        """A new enrolment sees events that were routed before it began."""
        one = self._by_id[enrolment_id]
        for event in events:
            self._see(one, event)

    def end(self, enrolment_id: str, exit: Exit, at: datetime) -> None:
        """Tells a live enrolment to end."""
        one = self._by_id.get(enrolment_id)
        if one is None or not one.live:
            return
        one.live = False
        self._wake(one, "control", to_json(Control("end", at, exit)))

    def unsubscribe(self, event: Event) -> None:
        """The customer has withdrawn all marketing consent: live marketing enrolments end."""
        for one in self._of_profile.get(event.profile_id, ()):
            if one.live and one.plan.category == "marketing":
                self._wake(
                    one, "control", to_json(Control("end", self._given_at(event.occurred_at), "unsubscribed"))
                )

    def _see(self, one: Followed, event: Event) -> None:
        conditions = one.conditions(event)
        if not conditions:
            return
        now = self._instant(event.occurred_at)
        held = self._judge.held(conditions, event, now, trigger=one.trigger, answers=one.answers)
        if not held:
            return
        occurred_at = event.occurred_at
        if "goal" in held and one.converts_first(event) and converts(one.plan, one.entered_at, occurred_at):
            one.converted_at = occurred_at
            self.conversions.append((one.enrolment_id, occurred_at))
        if one.live:
            seen = EventSeen(
                id=event.event_id,
                name=event.name,
                at=self._given_at(event.occurred_at),
                occurred_at=event.occurred_at,
                order=event.sequence,
                held=held,
            )
            self._wake(one, "wake", to_json(seen))

    def _wake(self, one: Followed, kind: Kind, payload: dict[str, Any]) -> None:
        self.wakes.append(Wake(one.enrolment_id, one.workflow_id, kind, payload, one.driver))

    def _add(self, one: Followed) -> None:
        self._of_profile.setdefault(one.profile_id, []).append(one)
        self._by_id[one.enrolment_id] = one
