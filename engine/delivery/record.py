"""What a delivery leaves behind besides its row: events and trace lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from engine.core.assignment import stands
from engine.core.commands import Trace
from engine.core.identity import delivery_key
from engine.core.inputs import Settled
from engine.core.plan import Plan
from engine.delivery.ports import Order, Place
from engine.delivery.sight import Enrolment
from engine.ingest.heeded import Heeded
from engine.ingest.recording import Internal, record_events
from engine.store import traces
from engine.store.deliveries import Delivery
from engine.store.enrolments import Progress

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


class Traced(Protocol):
    """What brings trace lines along, the first of them number `trace_from`."""

    @property
    def enrolment_id(self) -> str: ...

    @property
    def trace(self) -> tuple[Trace, ...]: ...

    @property
    def trace_from(self) -> int: ...


@dataclass(slots=True)
class Said:
    """A `message.*` event: about one delivery, kept once whatever happens twice."""

    event: str
    order: Order
    profile_id: str
    template: str
    channel: str | None
    at: datetime
    more: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> Place:
        return self.order.place


def assumed_sent(row: Delivery, order: Order, at: datetime) -> Said:
    """The event of a call that was perhaps made, and counts as made."""
    return Said("message.sent", order, row.profile_id, row.template or "", row.channel, at, {"assumed": True})


async def record_said(connection: AsyncConnection, said: Sequence[Said], heeded: Heeded) -> None:
    """Stores the events, for routing and for histories."""
    if not said:
        return
    new, names = [], await heeded.names(connection)
    for word in said:
        properties = {
            "enrolment_id": word.order.enrolment_id,
            "step": word.order.step,
            "template": word.template,
            "channel": word.channel,
            **word.more,
        }
        message_id = f"{delivery_key(*word.place)}/{word.event}"
        heard = word.event in names
        new.append(Internal(word.profile_id, word.event, word.at, message_id, properties, heard))
    await record_events(connection, new, datetime.now(UTC))


def moved(order: Order, plan: Plan, enrolment: Enrolment, answer: object) -> Progress | None:
    """Where the enrolment stands with this answer to its order, if the row says otherwise.

    A settled step leads on at once, so where it leads is told with it; of a branch nobody knows yet what it
    will take.
    """
    if order.recorded:
        return None
    if not isinstance(answer, Settled) or answer.result == "deferred":
        return None if enrolment.step == order.step else Progress(enrolment.id, order.step)
    target = plan.steps[order.step].next
    step, variants = stands(plan, target, enrolment.profile_key, enrolment.id, enrolment.variants)
    return (
        None if step == enrolment.step and not variants else Progress(enrolment.id, step, variants=variants)
    )


async def store_traces(connection: AsyncConnection, orders: Iterable[Traced]) -> None:
    """Stores the trace lines that came with the orders; lines that are there already stay."""
    await traces.append_batch(
        connection,
        [(order.enrolment_id, order.trace_from, order.trace) for order in orders if order.trace],
    )
