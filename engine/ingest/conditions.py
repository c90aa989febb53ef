"""Judging conditions on an event: for live enrolments, for `unless`, for triggers.

Conditions are judged once, when the event is routed. Facts were loaded before, once for a whole batch;
here they are only pointed at an event, a trigger and an instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from engine.core.calendar import zone_of
from engine.core.plan import Condition, Plan, Trigger
from engine.language.catalogue import Catalogue
from engine.language.expressions import Facts, compile_expression, event_facts, history_up_to
from engine.language.types import Value
from engine.store.events import Event

MANUAL_ENTRY = "journey.enter"
"""Name of the internal event that asks for an entry by hand: properties `journey` and `with`."""
MOMENT = "journey.moment"
"""Name of the internal event that a moment of a journey has come: properties `journey` and `with`."""


def is_own(event: Event, enrolment_id: str) -> bool:
    """Whether the event may reach this enrolment without `any`: of `message.*` only those of its messages."""
    if not event.name.startswith("message."):
        return True
    return event.properties.get("enrolment_id") == enrolment_id


def expressions_of(plan: Plan) -> Iterable[str]:
    """All texts that the router may judge for this plan."""
    trigger = plan.trigger
    yield from (text for text in (trigger.where, trigger.one_per) if text is not None)
    if trigger.unless is not None and trigger.unless.where is not None:
        yield trigger.unless.where
    yield from (condition.where for condition in plan.conditions() if condition.where is not None)


class Judge:
    """Judges for the customers of one batch. `people` are their facts, good for any instant.

    Of events of one instant each is judged by those that came before it, as if it had been routed alone.
    """

    def __init__(self, people: Mapping[str, Facts], catalogue: Catalogue, time_zone: str) -> None:
        self._people = people
        self._zone = zone_of(time_zone)
        self._catalogue = catalogue

    def held(
        self,
        conditions: Sequence[Condition],
        event: Event,
        now: datetime,
        *,
        trigger: Mapping[str, Value] | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> tuple[str, ...]:
        """Ids of the conditions that hold for `event`, in the order given. `now` is logical."""
        facts = None
        ids = []
        for condition in conditions:
            if condition.where is not None:
                facts = facts or self._facts(event, now, trigger, answers)
                if compile_expression(condition.where)(facts) is not True:
                    continue
            ids.append(condition.id)
        return tuple(ids)

    def value(self, text: str, event: Event, now: datetime) -> Value:
        """The value of an expression that sees only the event and the profile (a trigger's)."""
        return compile_expression(text)(self._facts(event, now, None, None))

    def holds(
        self, text: str | None, event: Event, now: datetime, trigger: Mapping[str, Value] | None = None
    ) -> bool:
        if text is None:
            return True
        return compile_expression(text)(self._facts(event, now, trigger, None)) is True

    def event(self, event: Event) -> dict[str, Value]:
        """The event as expressions see it."""
        return event_facts(
            event.name,
            event.event_id,
            event.occurred_at,
            event.properties,
            self._types(event.name),
            self._zone,
        )

    def trigger(self, plan: Plan, stored: Mapping[str, Any], entered_at: datetime) -> dict[str, Value]:
        """The trigger as expressions see it, from what the enrolment's row keeps of it."""
        return trigger_facts(plan, stored, entered_at, self._catalogue, self._zone)

    def _types(self, name: str) -> dict[str, str]:
        return _types(self._catalogue, name)

    def _facts(
        self,
        event: Event,
        now: datetime,
        trigger: Mapping[str, Value] | None,
        answers: Mapping[str, Any] | None,
    ) -> Facts:
        person = self._people[event.profile_id]
        history = person.history
        if history and now == event.occurred_at:
            history = history_up_to(history, now, event.sequence)
        return replace(
            person,
            now=now,
            event=self.event(event),
            trigger=trigger,
            answers=answers or {},
            history=history,
        )


def _types(catalogue: Catalogue, name: str) -> dict[str, str]:
    declared = catalogue.event(name)
    return {} if declared is None else {key: one.type for key, one in declared.properties.items()}


def trigger_facts(
    plan: Plan, stored: Mapping[str, Any], entered_at: datetime, catalogue: Catalogue, zone: tzinfo
) -> dict[str, Value]:
    """The trigger as expressions and templates see it, from what the enrolment's row keeps of it.

    Who entered in a crowd keeps only its id and properties: the name is that of every entry by hand.
    """
    trigger = plan.trigger
    by_hand = trigger.kind in ("manual", "audience")
    name = str(stored.get("name", MANUAL_ENTRY if by_hand else ""))
    if name == MOMENT:
        return _moment_facts(trigger, stored, entered_at, catalogue, zone)
    types = trigger.properties if by_hand else _types(catalogue, name)
    return event_facts(name, str(stored.get("id", "")), trigger_at(stored, entered_at), stored, types, zone)


def _moment_facts(
    trigger: Trigger, stored: Mapping[str, Any], entered_at: datetime, catalogue: Catalogue, zone: tzinfo
) -> dict[str, Value]:
    """Of quiet the event that it is counted from, of a date what came round."""
    given = stored.get("with")
    given = given if isinstance(given, dict) else {}
    if trigger.kind == "quiet":
        name = str(given.get("name", ""))
        at = trigger_at(given, entered_at)
        return event_facts(name, str(given.get("id", "")), at, given, _types(catalogue, name), zone)
    attribute = catalogue.attribute(trigger.attribute or "")
    types = {} if attribute is None else {"date": attribute.type}
    at = trigger_at(stored, entered_at)
    return event_facts(MOMENT, str(stored.get("id", "")), at, given, types, zone)


def trigger_at(stored: Mapping[str, Any], entered_at: datetime) -> datetime:
    """When the trigger occurred: at entry, if its row does not say."""
    occurred_at = stored.get("occurred_at")
    return datetime.fromisoformat(occurred_at) if isinstance(occurred_at, str) else entered_at


def trigger_row(event: Event) -> dict[str, Any]:
    """What an enrolment keeps of its trigger: properties flat beside `name id occurred_at`; of a moment, that
    may tell of an event of its own, apart from them."""
    if event.name == MOMENT:
        kept = {"with": event.properties.get("with")}
        return {**kept, "name": MOMENT, "id": event.event_id, "occurred_at": event.occurred_at.isoformat()}
    given = event.properties.get("with") if event.name == MANUAL_ENTRY else event.properties
    own = {"name": event.name, "id": event.event_id, "occurred_at": event.occurred_at.isoformat()}
    return {**(given if isinstance(given, dict) else {}), **own}
