"""Deliveries as receipts and replies see them: found by the provider's name or our key, and moved on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch
from engine.store.deliveries import Delivery, DeliveryKey

_ID = sa.Uuid(as_uuid=False)
_TYPES: Final[dict[str, Any]] = {"enrolment_id": _ID, "profile_id": _ID, "passed_over": JSONB, "raw": JSONB}
_COLUMNS: Final = batch.columns(Delivery, "d")


@dataclass(frozen=True, slots=True)
class Told:
    """Which delivery a receipt is about: by the provider's name for it, or by our key."""

    provider_id: str | None
    key: str | None = None
    channel: str | None = None
    """None: any."""


_ABOUT = batch.records(place="integer", provider_id="text", key="text", channel="text")
_TOLD_OF = sa.text(f"""
    SELECT r.place, {_COLUMNS} FROM {_ABOUT} JOIN deliveries d ON d.provider_id = r.provider_id
    WHERE r.channel IS NULL OR d.channel = r.channel
    UNION ALL
    SELECT r.place, {_COLUMNS} FROM {_ABOUT} JOIN deliveries d ON d.provider_id = r.key
    WHERE r.channel IS NULL OR d.channel = r.channel
    UNION ALL
    SELECT r.place, {_COLUMNS} FROM {_ABOUT} JOIN deliveries d ON d.key = r.key AND d.state = 'unknown'
    WHERE r.channel IS NULL OR d.channel = r.channel
""").columns(**_TYPES)


async def told_of(connection: AsyncConnection, about: Sequence[Told]) -> dict[int, Delivery]:
    """Deliveries that receipts are about, by place in the list; those of nobody are left out.

    Our key leads to a delivery too that is known by it alone, and to one of unknown outcome.
    """
    if not about:
        return {}
    values = [
        {"place": i, "provider_id": t.provider_id, "key": t.key, "channel": t.channel}
        for i, t in enumerate(about)
    ]
    found: dict[int, Delivery] = {}
    for row in (await connection.execute(_TOLD_OF, batch.rows(values))).mappings():
        place, delivery = row["place"], batch.build(Delivery, row)
        # A provider that names a whole batch alike is understood by our key.
        if place not in found or delivery.key == about[place].key:
            found[place] = delivery
    return found


@dataclass(slots=True)
class Received:
    """What receipts came to for one delivery. `dead`: [channel, digest] of an address that is."""

    key: DeliveryKey
    state: str = "accepted"
    provider_id: str | None = None
    raw: str | None = field(default=None, repr=False)
    dead: list[list[str]] = field(default_factory=list)


RECEIVED = ("accepted", "delivered", "bounced", "complained")
"""States that receipts lead to; a later one is never undone by an earlier one."""
_RANKS = "array_position(ARRAY['accepted', 'delivered', 'bounced', 'complained'], {})"
_RECEIVED = batch.records(
    enrolment_id="uuid",
    step="text",
    entry_month="date",
    state="text",
    provider_id="text",
    raw="text",
    dead="jsonb",
)
_RECEIVE = sa.text(f"""
    UPDATE deliveries d SET
        state = CASE WHEN {_RANKS.format("r.state")} > coalesce({_RANKS.format("d.state")}, 0)
            THEN r.state ELSE d.state END,
        provider_id = coalesce(d.provider_id, r.provider_id),
        raw = coalesce(d.raw, '{{}}') || jsonb_build_object('receipt', r.raw)
            || CASE WHEN r.dead = '[]' OR d.raw -> 'dead_addresses' @> r.dead THEN '{{}}'::jsonb
               ELSE jsonb_build_object('dead_addresses',
                    coalesce(d.raw -> 'dead_addresses', '[]') || r.dead) END
    FROM {_RECEIVED}
    WHERE d.enrolment_id = r.enrolment_id AND d.step = r.step AND d.entry_month = r.entry_month
        AND (d.state = 'unknown' OR {_RANKS.format("d.state")} IS NOT NULL)
    RETURNING d.enrolment_id, d.step, d.entry_month
""").columns(enrolment_id=_ID)


async def receive_batch(connection: AsyncConnection, received: Sequence[Received]) -> set[DeliveryKey]:
    """Writes what receipts came to, each delivery once; returns the keys of deliveries that were sent."""
    if not received:
        return set()
    values = [
        {**r.key._asdict(), "state": r.state, "provider_id": r.provider_id, "raw": r.raw, "dead": r.dead}
        for r in sorted(received, key=lambda r: r.key)
    ]
    result = await connection.execute(_RECEIVE, batch.rows(values))
    return {DeliveryKey(row.enrolment_id, row.step, row.entry_month) for row in result}


_LAST = sa.text(f"""
    SELECT r.place, {_COLUMNS}
    FROM {batch.records(place="integer", profile_id="uuid", channel="text", until="timestamptz")}
    CROSS JOIN LATERAL (
        SELECT * FROM deliveries f
        WHERE f.profile_id = r.profile_id AND f.channel = r.channel AND f.at <= r.until
            AND f.at > r.until - CAST(:within AS interval)
            AND f.state IN ('accepted', 'delivered', 'unknown')
        ORDER BY f.at DESC, f.enrolment_id, f.step LIMIT 1) d
""").columns(**_TYPES)


async def last_sent(
    connection: AsyncConnection, asked: Sequence[tuple[str, str, datetime]], within: timedelta
) -> dict[int, Delivery]:
    """The last message to each (profile, channel, until), by place in the list, none older than `within`."""
    if not asked:
        return {}
    values = [
        {"place": i, "profile_id": profile_id, "channel": channel, "until": until}
        for i, (profile_id, channel, until) in enumerate(asked)
    ]
    result = await connection.execute(_LAST, batch.rows(values) | {"within": within})
    return {row["place"]: batch.build(Delivery, row) for row in result.mappings()}
