"""Goals and exits that are stored but have not reached their enrolment: looked at right before it acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from engine.core.plan import Condition, Plan
from engine.delivery.facts import Look, load_facts
from engine.delivery.ports import DeliveryPorts, LiveProject, Order, Place
from engine.delivery.sight import Enrolment
from engine.language.expressions import history_up_to, holds
from engine.store import events
from engine.store.events import Event

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


async def exit_seen(
    connection: AsyncConnection,
    ports: DeliveryPorts,
    project: LiveProject,
    orders: Sequence[Order],
    plans: Mapping[str, Plan],
    found: Mapping[str, Enrolment],
) -> set[Place]:
    """Orders that a goal or exit has overtaken.

    It counts if it occurred after entry and, on a scaled clock, no later than the order; in real time, no
    later than now.
    """
    ends = {order.digest: _ends(plans[order.digest]) for order in orders}
    names = {condition.event for conditions in ends.values() for condition in conditions}
    watched = [order for order in orders if ends[order.digest]]
    if not names:
        return set()
    history = await events.for_profiles(
        connection,
        {found[order.enrolment_id].profile_id for order in watched},
        names,
        since=min(found[order.enrolment_id].entered_at for order in watched),
        until=max(_until(ports, order) for order in watched),
    )
    looks: list[tuple[Event, Order, Condition, Look]] = []
    seen: set[Place] = set()
    for order in watched:
        enrolment = found[order.enrolment_id]
        for event in history.get(enrolment.profile_id, ()):
            if not _in_time(ports, order, enrolment, event):
                continue
            for condition in ends[order.digest]:
                if condition.event != event.name or not (_own(event, enrolment) or condition.any):
                    continue
                if condition.where is None:
                    seen.add(order.place)
                else:
                    at = _judged_at(ports, order, event)
                    looks.append(
                        (
                            event,
                            order,
                            condition,
                            Look(enrolment, plans[order.digest], at, event.event_id, (condition.where,)),
                        )
                    )
    facts = await load_facts(connection, project, [look for _, _, _, look in looks])
    for (event, order, condition, look), given in zip(looks, facts, strict=True):
        if look.at == event.occurred_at:
            past = history_up_to(given.history, event.occurred_at, event.sequence)
            given = replace(given, history=past)
        if condition.where is not None and holds(condition.where, given):
            seen.add(order.place)
    return seen


def _ends(plan: Plan) -> tuple[Condition, ...]:
    goal = () if plan.goal is None else (plan.goal.when,)
    return (*goal, *plan.exit_events)


def _judged_at(ports: DeliveryPorts, order: Order, event: Event) -> datetime:
    """The instant at which the router judges the event, or has judged it: what it counts must be the same."""
    if event.routed_at is not None or ports.clock.scaled:
        return event.occurred_at
    return max(event.occurred_at, order.at)


def _until(ports: DeliveryPorts, order: Order) -> datetime:
    return order.at if ports.clock.scaled else max(order.at, ports.clock.now())


def _in_time(ports: DeliveryPorts, order: Order, enrolment: Enrolment, event: Event) -> bool:
    return (
        event.event_id != enrolment.trigger_event_id
        and enrolment.entered_at < event.occurred_at <= _until(ports, order)
    )


def _own(event: Event, enrolment: Enrolment) -> bool:
    if not event.name.startswith("message."):
        return True
    return event.properties.get("enrolment_id") == enrolment.id
