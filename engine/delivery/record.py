"""What a delivery leaves behind besides its row: events and trace lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine.core import wire
from engine.core.identity import delivery_key
from engine.delivery.ports import Order, Place
from engine.ingest.recording import Internal, record_events
from engine.store import traces
from engine.store.deliveries import Delivery

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


@dataclass(frozen=True, slots=True)
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


async def record_said(connection: AsyncConnection, said: Iterable[Said]) -> None:
    """Stores the events, for routing and for histories."""
    new = []
    for word in said:
        properties = {
            "enrolment_id": word.order.enrolment_id,
            "step": word.order.step,
            "template": word.template,
            "channel": word.channel,
            **word.more,
        }
        message_id = f"{delivery_key(*word.place)}/{word.event}"
        new.append(Internal(word.profile_id, word.event, word.at, message_id, properties))
    await record_events(connection, new, datetime.now(UTC))


async def store_traces(connection: AsyncConnection, orders: Iterable[Order]) -> None:
    """Stores the trace lines that came with the orders; lines that are there already stay."""
    await traces.append_batch(
        connection,
        [
            (order.enrolment_id, order.trace_from, [wire.input_from_json(line) for line in order.trace])
            for order in orders
            if order.trace
        ],
    )
