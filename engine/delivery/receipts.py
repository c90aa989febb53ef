"""What providers say later: a delivery arrives, bounces, or is complained about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from channels.receipt import DeliveryState, Receipt
from engine.ingest.heeded import Heeded
from engine.ingest.recording import Internal, consent_changes, record_events
from engine.store import consents, received
from engine.store.consents import Consent
from engine.store.database import in_transaction
from engine.store.deliveries import Delivery
from engine.store.received import RECEIVED, Received, Told

if TYPE_CHECKING:
    from engine.delivery.ports import DeliveryPorts
    from engine.store.connection import AsyncConnection

_STATES: Final = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.BOUNCED: "bounced",
    DeliveryState.COMPLAINED: "complained",
    DeliveryState.FAILED: "bounced",
}
_EVENTS: Final = {
    DeliveryState.DELIVERED: "message.delivered",
    DeliveryState.OPENED: "message.opened",
    DeliveryState.CLICKED: "message.clicked",
    DeliveryState.REPLIED: "message.replied",
    DeliveryState.BOUNCED: "message.bounced",
    DeliveryState.COMPLAINED: "message.complained",
    DeliveryState.FAILED: "message.failed",
}
_WITHDRAWS: Final = (DeliveryState.COMPLAINED, DeliveryState.UNSUBSCRIBED)
_SEVERAL: Final = (DeliveryState.OPENED, DeliveryState.CLICKED, DeliveryState.REPLIED)
"""What can happen to one message more than once."""
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Said:
    """A receipt, by the channel that it came for (None: any). `at` is its logical instant."""

    channel: str | None
    receipt: Receipt
    at: datetime


async def receive(ports: DeliveryPorts, receipts: Sequence[Receipt]) -> int:
    """Applies receipts of any channel; returns how many were about one of ours. Their `at` is logical."""

    async def work(connection: AsyncConnection) -> int:
        said = [Said(None, receipt, receipt.at) for receipt in receipts]
        return len(await apply_receipts(connection, said, ports.heeded))

    return await in_transaction(ports.database, work)


async def apply_receipts(connection: AsyncConnection, said: Sequence[Said], heeded: Heeded) -> set[int]:
    """Applies receipts; returns the places of those that were about one of ours.

    Those about a message that is not settled yet are not: give them again later. The same receipt twice
    changes nothing, and their order does not matter. Any receipt tells that the message was accepted, which
    settles an `unknown`; complaints and the provider's own way out withdraw consent; a permanent bounce
    blocks the address.
    """
    wanted = [Told(each.receipt.provider_id, each.receipt.key, each.channel) for each in said]
    found = await received.told_of(connection, wanted)
    if not found:
        return set()
    came_to: dict[str, Received] = {}
    for place, row in sorted(found.items()):
        _count(came_to, row, said[place].receipt)
    sent = await received.receive_batch(connection, list(came_to.values()))
    heard = await heeded.names(connection)
    # By the instant, so that of two that come together the earlier is the earlier event.
    known = sorted(
        ((row, said[place]) for place, row in found.items() if row.row_key in sent),
        key=lambda pair: pair[1].at,
    )
    now = datetime.now(UTC)
    events = [_event(row, each, heard) for row, each in known if each.receipt.state in _EVENTS]
    await record_events(connection, events, now)
    withdrawn = [_withdrawal(row, each) for row, each in known if each.receipt.state in _WITHDRAWS]
    new = await consents.unrecorded(connection, withdrawn)
    await consents.add_batch(connection, new)
    await record_events(connection, consent_changes(new), now)
    return set(found)


def _count(came_to: dict[str, Received], row: Delivery, receipt: Receipt) -> None:
    """Adds a receipt to what is known of its delivery: the furthest state counts."""
    so_far = came_to.setdefault(row.key, Received(row.row_key))
    so_far.provider_id = so_far.provider_id or receipt.provider_id
    state = _STATES.get(receipt.state, "accepted")
    if RECEIVED.index(state) >= RECEIVED.index(so_far.state):
        so_far.state, so_far.raw = state, receipt.raw
    if receipt.permanent and row.address_digest is not None:
        so_far.dead = [[row.channel or "", row.address_digest]]


def _event(row: Delivery, said: Said, heard: frozenset[str]) -> Internal:
    receipt, name = said.receipt, _EVENTS[said.receipt.state]
    properties = about(row)
    if receipt.link is not None:
        properties["link"] = receipt.link
    message_id = f"{row.key}/{name}"
    if receipt.state in _SEVERAL:
        # A customer can click twice, and the provider can tell of one click twice.
        message_id += f"/{receipt.at.isoformat()}/{receipt.link or ''}"
    return Internal(row.profile_id, name, after(row, said.at), message_id, properties, name in heard)


def about(row: Delivery) -> dict[str, Any]:
    """What a `message.*` event says of its message."""
    return {
        "enrolment_id": row.enrolment_id,
        "step": row.step,
        "template": row.template,
        "channel": row.channel,
    }


def after(row: Delivery, at: datetime) -> datetime:
    """The instant, but after the message: providers tell seconds, and their clocks are not ours."""
    return max(at, (row.handed_at or row.at) + _INSTANT)


def _withdrawal(row: Delivery, said: Said) -> Consent:
    source = f"receipt: {said.receipt.state}"
    return Consent(row.profile_id, row.channel or "*", False, said.at, source=source)
