"""Deliveries: the record of getting one message there, unique by (enrolment, step); and finding them.

How one moves from state to state is in `engine.store.delivery_states`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch


class DeliveryKey(NamedTuple):
    """`entry_month` is `engine.store.enrolments.entry_month` of the enrolment's entry."""

    enrolment_id: str
    step: str
    entry_month: date


@dataclass(slots=True)
class Delivery:
    """A delivery as stored. `state` is one of `engine.store.tables.DELIVERY_STATES`."""

    enrolment_id: str
    step: str
    entry_month: date
    key: str
    journey: str
    profile_id: str
    category: str
    channel: str | None
    template: str | None
    template_digest: str | None
    template_variant: str | None
    state: str
    reason: str | None
    passed_over: list[list[str]]
    attempts: int
    owner: str | None
    at: datetime
    due_at: datetime | None
    provider: str | None
    provider_id: str | None
    address_digest: str | None
    raw: Any = field(repr=False)
    created_at: datetime
    claimed_at: datetime | None
    sending_at: datetime | None
    settled_at: datetime | None
    handed_at: datetime | None = None
    quota: str | None = None
    units: int | None = None
    why: list[dict[str, Any]] | None = None

    @property
    def row_key(self) -> DeliveryKey:
        return DeliveryKey(self.enrolment_id, self.step, self.entry_month)


ID = sa.Uuid(as_uuid=False)
TYPES: dict[str, Any] = {
    "enrolment_id": ID,
    "profile_id": ID,
    "passed_over": JSONB,
    "raw": JSONB,
    "why": JSONB,
}
COLUMNS = batch.columns(Delivery, "d")
KEY = {"enrolment_id": "uuid", "step": "text", "entry_month": "date"}
SAME_ROW = "d.enrolment_id = r.enrolment_id AND d.step = r.step AND d.entry_month = r.entry_month"


async def stale(connection: AsyncConnection, dead_after: timedelta, limit: int = 1000) -> list[Delivery]:
    """Open deliveries whose owner has not been seen for `dead_after` (wall time), oldest claim first."""
    return await _select(
        connection,
        """WHERE d.state IN ('claimed', 'sending') AND d.claimed_at < now() - CAST(:dead AS interval)
            AND NOT EXISTS (SELECT 1 FROM workers w
                            WHERE w.id = d.owner AND w.seen_at > now() - CAST(:dead AS interval))
            ORDER BY d.claimed_at LIMIT :limit""",
        {"dead": dead_after, "limit": limit},
    )


async def awaited(
    connection: AsyncConnection, channel: str, since: datetime, after: str = "", limit: int = 1000
) -> list[str]:
    """Provider ids above `after` of a channel's messages that were accepted since then (wall time) and of
    which nothing was heard, in order."""
    result = await connection.execute(
        sa.text("""
            SELECT provider_id FROM deliveries WHERE channel = :channel AND state = 'accepted'
                AND provider_id > :after AND settled_at > :since
            ORDER BY provider_id LIMIT :limit
        """),
        {"channel": channel, "since": since, "after": after, "limit": limit},
    )
    return list(result.scalars())


async def get_batch(connection: AsyncConnection, keys: Iterable[DeliveryKey]) -> dict[DeliveryKey, Delivery]:
    """Deliveries by key; unknown keys are left out."""
    wanted = [key._asdict() for key in keys]
    if not wanted:
        return {}
    statement = sa.text(f"SELECT {COLUMNS} FROM {batch.records(**KEY)} JOIN deliveries d ON {SAME_ROW}")
    result = await connection.execute(statement.columns(**TYPES), batch.rows(wanted))
    return {d.row_key: d for d in (batch.build(Delivery, row) for row in result.mappings())}


async def of_enrolments(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, list[Delivery]]:
    """Deliveries of each enrolment, in logical order."""
    found: dict[str, list[Delivery]] = {}
    for d in await _select(
        connection,
        "WHERE d.enrolment_id = ANY(CAST(:ids AS uuid[])) ORDER BY d.at, d.created_at, d.step",
        {"ids": sorted(set(ids))},
    ):
        found.setdefault(d.enrolment_id, []).append(d)
    return found


async def find(
    connection: AsyncConnection,
    *,
    journey: str | None = None,
    profile_id: str | None = None,
    enrolment_id: str | None = None,
    state: str | None = None,
    channel: str | None = None,
    limit: int = 50,
    before: datetime | None = None,
    after: tuple[datetime, str, str] | None = None,
) -> list[Delivery]:
    """A page of deliveries, the logically latest first.

    `after` is (at, enrolment_id, step) of the last one seen; `before` leaves out what is not earlier.
    """
    wanted = {
        "journey": journey,
        "profile_id": profile_id,
        "enrolment_id": enrolment_id,
        "state": state,
        "channel": channel,
    }
    values: dict[str, Any] = {k: v for k, v in wanted.items() if v is not None}
    clauses = [f"d.{name} = :{name}" for name in values]
    if before is not None:
        clauses.append("d.at < :before")
        values["before"] = before
    if after is not None:
        clauses.append("(d.at, d.enrolment_id, d.step) < (:after_at, CAST(:after_id AS uuid), :after_step)")
        values |= {"after_at": after[0], "after_id": after[1], "after_step": after[2]}
    condition = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    return await _select(
        connection,
        f"{condition} ORDER BY d.at DESC, d.enrolment_id DESC, d.step DESC LIMIT :limit",
        values | {"limit": limit},
    )


async def ensure_month(connection: AsyncConnection, month: date) -> bool:
    """Makes the partition for enrolments entered in `month`; false if deliveries of it are kept elsewhere.

    Without it, rows go to the default partition: slower to drop, nothing else.
    """
    first = month.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    name = f"deliveries_{first:%Y_%m}"
    await connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('ensure_month'))"))
    there = await connection.execute(sa.text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name})
    if there.scalar_one():
        return True
    strays = await connection.execute(
        sa.text("SELECT EXISTS (SELECT 1 FROM deliveries_default WHERE entry_month = :first)"),
        {"first": first},
    )
    if strays.scalar_one():
        return False
    await connection.execute(
        sa.text(
            f"CREATE TABLE {name} PARTITION OF deliveries "
            f"FOR VALUES FROM ('{first.isoformat()}') TO ('{following.isoformat()}')"
        )
    )
    return True


async def _select(connection: AsyncConnection, rest: str, values: dict[str, Any]) -> list[Delivery]:
    statement = sa.text(f"SELECT {COLUMNS} FROM deliveries d {rest}").columns(**TYPES)
    result = await connection.execute(statement, values)
    return [batch.build(Delivery, row) for row in result.mappings()]
