"""What channels have used of their budgets, in one row a channel and period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

_MAKE = sa.text("""
    INSERT INTO budgets (channel, begins_at, used) VALUES (:channel, :begins_at, 0) ON CONFLICT DO NOTHING
""")

# Those that must go take first what they need; of the others the first go until one does not fit.
_TAKE = sa.text(f"""
    WITH b AS (
        SELECT used FROM budgets WHERE channel = :channel AND begins_at = :begins_at FOR UPDATE
    ), r AS (
        SELECT place, units, must, sum(units) OVER (ORDER BY must DESC, place) AS upto
        FROM {batch.records(place="integer", units="integer", must="boolean")}
    ), g AS (
        SELECT r.place, r.units FROM r, b WHERE r.must OR b.used + r.upto <= CAST(:most AS bigint)
    ), u AS (
        UPDATE budgets SET used = used + (SELECT coalesce(sum(units), 0) FROM g)
        WHERE channel = :channel AND begins_at = :begins_at AND EXISTS (SELECT 1 FROM g)
    )
    SELECT place FROM g
""")

_GIVE_BACK = sa.text(f"""
    UPDATE budgets b SET used = greatest(0, b.used - r.units)
    FROM (SELECT channel, begins_at, sum(units) AS units
          FROM {batch.records(channel="text", begins_at="timestamptz", units="integer")}
          GROUP BY channel, begins_at ORDER BY channel, begins_at) AS r
    WHERE b.channel = r.channel AND b.begins_at = r.begins_at
""")


async def take(
    connection: AsyncConnection,
    channel: str,
    begins_at: datetime,
    most: int,
    wanted: Sequence[tuple[int, bool]],
) -> set[int]:
    """Takes what these messages need (units, whether it must go) of the period; returns the places of those
    that may go.

    Holds the row until the transaction ends.
    """
    about = {"channel": channel, "begins_at": begins_at}
    await connection.execute(_MAKE, about)
    rows = batch.rows(
        [{"place": place, "units": units, "must": must} for place, (units, must) in enumerate(wanted)]
    )
    result = await connection.execute(_TAKE, rows | about | {"most": most})
    return {row.place for row in result}


async def give_back(connection: AsyncConnection, back: Sequence[tuple[str, datetime, int]]) -> None:
    """Gives back units (channel, beginning of the period, units) that were not used after all."""
    if back:
        values = [{"channel": c, "begins_at": at, "units": units} for c, at, units in back]
        await connection.execute(_GIVE_BACK, batch.rows(values))


async def used(connection: AsyncConnection, since: datetime) -> list[tuple[str, datetime, int]]:
    """(channel, beginning, units) of every period that began at `since` or later."""
    result = await connection.execute(
        sa.text("SELECT channel, begins_at, used FROM budgets WHERE begins_at >= :since ORDER BY 1, 2"),
        {"since": since},
    )
    return [(row.channel, row.begins_at, row.used) for row in result]
