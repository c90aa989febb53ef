"""How much there is of what: for metrics and overviews. Each costs a scan, so callers remember them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Work:
    """What waits: events to be routed, and starts and wakes to be played."""

    unrouted: int
    open_starts: int


async def waiting(connection: AsyncConnection) -> Work:
    """Counts what waits, by the partial indexes that its workers use."""
    row = (
        await connection.execute(
            sa.text(
                "SELECT (SELECT count(*) FROM events WHERE routed_at IS NULL) AS unrouted, "
                "(SELECT count(*) FROM start_outbox WHERE done_at IS NULL) AS open_starts"
            )
        )
    ).one()
    return Work(row.unrouted, row.open_starts)


async def live_enrolments(connection: AsyncConnection) -> dict[str, int]:
    """Live enrolments by journey; a journey without any is left out."""
    result = await connection.execute(
        sa.text("SELECT journey, count(*) AS n FROM enrolments WHERE status = 'live' GROUP BY journey")
    )
    return {row.journey: row.n for row in result}


async def late_rows(connection: AsyncConnection) -> dict[str, int]:
    """Rows of the pool that were due over ten seconds ago, by journey; a journey without any is left out."""
    result = await connection.execute(
        sa.text(
            "SELECT j.name, count(*) AS n FROM pool_rows p JOIN journeys j ON j.number = p.journey "
            "WHERE p.wake_at < now() - interval '10 s' AND p.wake_at > '-infinity' GROUP BY j.name"
        )
    )
    return {row.name: row.n for row in result}


async def outcomes(connection: AsyncConnection, journeys: Iterable[str]) -> dict[str, dict[str, int]]:
    """What became of the enrolments of each journey: `live`, or the exit, to how many."""
    result = await connection.execute(
        sa.text(
            "SELECT journey, coalesce(exit, 'live') AS outcome, count(*) AS n FROM enrolments "
            "WHERE journey = ANY(CAST(:journeys AS text[])) GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"journeys": sorted(set(journeys))},
    )
    found: dict[str, dict[str, int]] = {}
    for row in result:
        found.setdefault(row.journey, {})[row.outcome] = row.n
    return found


async def conversions(connection: AsyncConnection, journeys: Iterable[str]) -> dict[str, int]:
    """How many enrolments of each journey converted."""
    result = await connection.execute(
        sa.text(
            "SELECT journey, count(converted_at) AS n FROM enrolments "
            "WHERE journey = ANY(CAST(:journeys AS text[])) GROUP BY journey"
        ),
        {"journeys": sorted(set(journeys))},
    )
    return {row.journey: row.n for row in result}


async def delivery_states(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Deliveries by (channel, state); the channel is `none` where none was chosen."""
    result = await connection.execute(
        sa.text(
            "SELECT coalesce(channel, 'none') AS channel, state, count(*) AS n FROM deliveries GROUP BY 1, 2"
        )
    )
    return {(row.channel, row.state): row.n for row in result}


async def heard(connection: AsyncConnection) -> dict[tuple[str, str, str], int]:
    """What providers called us with and is not worked off, by (channel, kind, state)."""
    result = await connection.execute(
        sa.text("SELECT channel, kind, state, count(*) AS n FROM heard GROUP BY 1, 2, 3")
    )
    return {(row.channel, row.kind, row.state): row.n for row in result}
