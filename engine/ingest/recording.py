"""Events that the engine makes itself: they come in beside those of clients and are routed the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from engine.core.identity import event_id
from engine.store import events, webhooks
from engine.store.consents import EVERY_PURPOSE, Consent
from engine.store.derived import MembershipChange, StageChange
from engine.store.events import NewEvent
from engine.store.webhooks import FROM_EVENTS, Change

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

SOURCE: Final = "kairos"
"""The source of events that the engine makes itself."""


@dataclass(slots=True)
class Internal:
    """An event of ours. `message_id` makes it unique: the same one again changes nothing.

    A `message.*` event holds `enrolment_id` among its properties, and reaches only that enrolment.
    """

    profile_id: str
    name: str
    occurred_at: datetime
    message_id: str
    properties: dict[str, Any] = field(default_factory=dict, repr=False)
    heeded: bool = True
    """As in `NewEvent`."""


async def record_event(
    connection: AsyncConnection,
    profile_id: str,
    name: str,
    occurred_at: datetime,
    message_id: str,
    properties: dict[str, Any] | None = None,
    *,
    received_at: datetime | None = None,
) -> str:
    """Records one event of ours with the caller's transaction; returns its id."""
    event = Internal(profile_id, name, occurred_at, message_id, properties or {})
    await record_events(connection, [event], received_at or occurred_at)
    return event_id(SOURCE, message_id)


async def record_events(
    connection: AsyncConnection, new: Sequence[Internal], received_at: datetime
) -> set[str]:
    """Records events of ours; returns the ids of those that were not there yet. Webhooks are told of them."""
    added = await events.insert_batch(
        connection,
        [
            NewEvent(
                event_id=event_id(SOURCE, event.message_id),
                profile_id=event.profile_id,
                name=event.name,
                occurred_at=event.occurred_at,
                received_at=received_at,
                source=SOURCE,
                message_id=event.message_id,
                properties=event.properties,
                type="internal",
                heeded=event.heeded,
            )
            for event in new
        ],
    )
    told = [e for e in new if e.name in FROM_EVENTS and event_id(SOURCE, e.message_id) in added]
    await webhooks.offer(
        connection, [Change(e.name, e.profile_id, e.occurred_at, e.properties) for e in told]
    )
    return added


def segment_changed(change: MembershipChange) -> Internal:
    """`segment.entered` or `segment.left`, once for each change."""
    name = "segment.entered" if change.entered else "segment.left"
    properties = {"segment": change.segment}
    return Internal(change.profile_id, name, change.at, f"segment/{change.id}", properties)


def stage_changed(change: StageChange) -> Internal:
    """`stage.changed`, once for each change."""
    properties = {"stage": change.stage, "before": change.before}
    return Internal(change.profile_id, "stage.changed", change.at, f"stage/{change.id}", properties)


def consent_changes(entries: Iterable[Consent]) -> list[Internal]:
    """`consent.changed` for entries of the ledger."""
    return [
        Internal(
            entry.profile_id,
            "consent.changed",
            entry.at,
            f"consent/{entry.profile_id}/{_about(entry)}/{entry.at.isoformat()}/{entry.granted}",
            {"channel": entry.channel, "granted": entry.granted}
            | ({} if entry.purpose == EVERY_PURPOSE else {"purpose": entry.purpose}),
        )
        for entry in entries
    ]


def _about(entry: Consent) -> str:
    about = f"{entry.category}/{entry.channel}"
    return about if entry.purpose == EVERY_PURPOSE else f"{about}/{entry.purpose}"
