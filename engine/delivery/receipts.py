"""What providers say later: a delivery arrives, bounces, or is complained about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from channels.receipt import DeliveryState, Receipt
from engine.delivery.sight import address_digest
from engine.ingest.recording import Internal, consent_changes, record_events
from engine.language.addresses import address_kind
from engine.store import consents, deliveries, profiles
from engine.store.consents import Consent
from engine.store.database import in_transaction
from engine.store.deliveries import Delivery
from engine.store.profiles import Profile

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


async def receive(ports: DeliveryPorts, receipts: Sequence[Receipt]) -> int:
    """Applies receipts that name their message by `provider_id`; returns how many were about one of ours.

    The same receipt twice changes nothing. Any receipt tells that the message was accepted, which settles
    an `unknown`; complaints and the provider's own way out withdraw consent; a permanent bounce blocks the
    address.
    """

    async def work(connection: AsyncConnection) -> int:
        named = {receipt.provider_id: receipt for receipt in receipts if receipt.provider_id is not None}
        found = await deliveries.receive_batch(connection, [(name, "accepted", None) for name in named])
        people = await profiles.surviving(connection, {row.profile_id for row in found.values()})
        moves = []
        for name, row in found.items():
            receipt = named[name]
            person = people.get(row.profile_id)
            if receipt.state in _STATES:
                moves.append((name, _STATES[receipt.state], _raw(row, receipt, person)))
        await deliveries.receive_batch(connection, moves)
        known = [(found[r.provider_id], r) for r in receipts if r.provider_id in found]
        events = [_event(row, receipt) for row, receipt in known if receipt.state in _EVENTS]
        await record_events(connection, events, datetime.now(UTC))
        withdrawn = [_withdrawal(row, receipt) for row, receipt in known if receipt.state in _WITHDRAWS]
        await consents.add_batch(connection, withdrawn)
        await record_events(connection, consent_changes(withdrawn), datetime.now(UTC))
        return len(known)

    return await in_transaction(ports.database, work)


def _raw(row: Delivery, receipt: Receipt, person: Profile | None) -> dict[str, Any]:
    raw = {**(row.raw or {}), "receipt": receipt.raw}
    channel = row.channel or ""
    address = None if person is None else person.addresses.get(address_kind(channel))
    if receipt.permanent and address:
        raw["dead_addresses"] = [*raw.get("dead_addresses", ()), [channel, address_digest(address)]]
    return raw


def _event(row: Delivery, receipt: Receipt) -> Internal:
    name = _EVENTS[receipt.state]
    properties: dict[str, Any] = {
        "enrolment_id": row.enrolment_id,
        "step": row.step,
        "template": row.template,
        "channel": row.channel,
    }
    if receipt.link is not None:
        properties["link"] = receipt.link
    # A customer can click twice, and the provider can tell of one click twice.
    message_id = f"{row.key}/{name}/{receipt.at.isoformat()}/{receipt.link or ''}"
    return Internal(row.profile_id, name, receipt.at, message_id, properties)


def _withdrawal(row: Delivery, receipt: Receipt) -> Consent:
    return Consent(row.profile_id, row.channel or "*", False, receipt.at, source=f"receipt: {receipt.state}")
