"""A look at who has been quiet for 25 days, with about 1,000 of all customers crossing the line.

What the schedule of a journey does each time: from the watermark to the last event recorded. Before each run
the events of the one before are taken away and the watermark is put back.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.customers import FILES, FULL, NOW, PEOPLE, base
from benchmarks.findings import Finding, figure, limited
from benchmarks.lab import Lab, apply, opened
from benchmarks.statistics import interval
from engine.ingest.moments import Ticker

CROSSING: Final = 1_000
RUNS: Final = 5
LENGTH: Final = timedelta(days=25)
JOURNEY: Final = """
journey: quiet
trigger: {quiet_for: 25d, since: order.paid}
steps: []
"""
_CLEAR: Final = (
    "DELETE FROM events WHERE name = 'journey.moment'",
    "UPDATE moment_ticks SET ticked_until = :from, after = NULL, until = NULL WHERE journey = 'quiet'",
)
_LAST: Final = sa.text("""
    SELECT e.occurred_at FROM events e WHERE e.name = 'order.paid' AND e.occurred_at <= :until
    ORDER BY e.occurred_at DESC OFFSET :back LIMIT 1
""")


async def run(lab: Lab) -> list[Finding]:
    """Seconds of a look, at a million and, in full, at ten."""
    sizes = [lab.sized(PEOPLE, 5_000)] + ([lab.sized(FULL, 50_000)] if lab.full else [])
    return [await _at(lab, size) for size in sizes]


async def _at(lab: Lab, size: int) -> Finding:
    async with opened(await base(lab, size)) as database:
        await apply(database, {**FILES, "journeys/quiet.yaml": JOURNEY.lstrip()})
        ticker = Ticker(database, wall=lambda: NOW)
        began = time.perf_counter()
        await ticker.speed_up()
        building = time.perf_counter() - began
        since = await _since(database)
        await ticker.tick("quiet")  # makes the watermark
        took: list[float] = []
        crossed = 0
        for _ in range(RUNS + 1):
            await _put_back(database, since)
            began = time.perf_counter()
            crossed = (await ticker.tick("quiet")).recorded
            took.append(time.perf_counter() - began)
        await _put_back(database, since)
    found = interval(took[1:])  # the first finds everything cold
    return limited(
        f"a look at who is quiet, {crossed:,} of {size:,} customers crossing",
        found.median,
        1.0,
        unit="s",
        notes=[
            f"{RUNS} runs from {figure(min(took[1:]))} to {figure(max(took[1:]))} s; "
            f"the first, on cold pages, {figure(took[0])} s",
            f"a stretch of {NOW - since}; its index was built in {figure(building)} s",
        ],
    )


async def _since(database: AsyncEngine) -> datetime:
    """The watermark from which about a thousand cross the line up to now."""
    async with database.connect() as connection:
        # Most of those who ordered then have ordered nothing since: of ten orders about one is not the last.
        found = await connection.execute(_LAST, {"until": NOW - LENGTH, "back": round(1.1 * CROSSING)})
        return datetime.fromisoformat(str(found.scalar_one())) + LENGTH


async def _put_back(database: AsyncEngine, since: datetime) -> None:
    async with database.begin() as connection:
        for statement in _CLEAR:
            await connection.execute(sa.text(statement), {"from": since} if ":from" in statement else {})
