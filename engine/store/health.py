"""How the database stands: for `/healthz`."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import clock
from engine.store.database import current_revision, head_revision
from engine.store.tables import SHARDS


@dataclass(frozen=True, slots=True)
class Standing:
    """Ages in seconds of wall time; None where nothing waits."""

    revision: str | None
    migrated: bool
    oldest_unrouted: float | None = None
    oldest_start: float | None = None


# The next event of each shard, by the index that the router uses: its place is by `occurred_at`, so the
# oldest by arrival may be another; close enough to see a router that stands still.
_AGES = sa.text(f"""
    SELECT
        (SELECT min(e.received_at)
         FROM generate_series(0, {SHARDS - 1}) s CROSS JOIN LATERAL (
            SELECT received_at FROM events WHERE shard = s AND routed_at IS NULL
            ORDER BY occurred_at, sequence LIMIT 1) e) AS unrouted,
        (SELECT extract(epoch FROM now() - created_at)::float8 FROM start_outbox
         WHERE done_at IS NULL ORDER BY id LIMIT 1) AS start
""")


async def look(engine: AsyncEngine) -> Standing:
    """How the database stands; ages only if it is migrated."""
    revision = await current_revision(engine)
    if revision != head_revision():
        return Standing(revision, False)
    async with engine.connect() as connection:
        row = (await connection.execute(_AGES)).one()
        ticking = await clock.load(connection)
    unrouted = None
    if row.unrouted is not None:  # logical, as the intake was told
        unrouted = max(0.0, (ticking.now() - row.unrouted).total_seconds() / ticking.speed)
    return Standing(revision, True, unrouted, row.start)
