"""Stages and RFM of everybody looked at anew, each against one SQL statement that somebody writes by hand.

RFM begins with an empty table each time, by hand with `ntile`, which tells equal values apart. Of stages both
find who is in another stage than was seen last, write it down with its history, and leave an event each.
Before every run one customer in fifty is put into a stage that is wrong, and what the run before left is
taken away again.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.customers import EVENTS, FILES, NOW, PEOPLE, fill
from benchmarks.findings import Finding, compared
from benchmarks.lab import Lab, apply, opened
from engine.customers.rfm import recompute_rfm
from engine.ingest.recomputing import recompute

PROJECT: Final = {
    **FILES,
    "journeys/catalog.yaml": FILES["journeys/catalog.yaml"]
    + """
rfm: {event: order.paid, money: total}
stages:
  - {name: aware}
  - {name: interested, where: 'count("page.viewed", "365d") > 0'}
  - {name: first, where: 'count("order.paid") > 0'}
  - {name: repeat, where: 'count("order.paid", "365d") > 1'}
  - {name: loyal, where: 'count("order.paid", "365d") > 2 and total("order.paid", "total", "365d") > 400'}
  - {name: resting, where: 'exists(last("order.paid")) and last("order.paid").occurred_at < now - "200d"'}
""",
}
_SPOIL: Final = (
    "DELETE FROM events WHERE source IN ('kairos', 'hand')",
    "TRUNCATE stage_changes",
    "UPDATE stages SET stage = 'spoilt', since_at = CAST(:now AS timestamptz) - interval '1 day' "
    "WHERE get_byte(uuid_send(profile_id), 3) < 5",
)
BY_HAND: Final = """
    WITH orders AS (
        SELECT profile_id, count(*) AS ever, max(occurred_at) AS last_at,
            count(*) FILTER (WHERE occurred_at >= :since) AS year,
            sum((properties ->> 'total')::numeric) FILTER (WHERE occurred_at >= :since) AS spent
        FROM events WHERE name = 'order.paid' AND occurred_at <= :now GROUP BY profile_id),
    views AS (
        SELECT profile_id FROM events
        WHERE name = 'page.viewed' AND occurred_at BETWEEN :since AND :now GROUP BY profile_id),
    differing AS (
        SELECT d.* FROM (
            SELECT p.id, s.stage AS before, CASE
                WHEN o.last_at < CAST(:now AS timestamptz) - interval '200 days' THEN 'resting'
                WHEN o.year > 2 AND o.spent > 400 THEN 'loyal'
                WHEN o.year > 1 THEN 'repeat'
                WHEN o.ever > 0 THEN 'first'
                WHEN v.profile_id IS NOT NULL THEN 'interested'
                ELSE 'aware' END AS stage
            FROM profiles p LEFT JOIN orders o ON o.profile_id = p.id LEFT JOIN views v ON v.profile_id = p.id
            LEFT JOIN stages s ON s.profile_id = p.id
            WHERE p.merged_into IS NULL) d
        WHERE d.stage <> coalesce(d.before, 'aware')),
    written AS (
        INSERT INTO stages (profile_id, stage, since_at)
        SELECT id, stage, CAST(:now AS timestamptz) FROM differing
        ON CONFLICT (profile_id) DO UPDATE SET stage = excluded.stage, since_at = excluded.since_at),
    told AS (
        INSERT INTO stage_changes (profile_id, before, stage, at, quiet)
        SELECT id, before, stage, CAST(:now AS timestamptz), false FROM differing
        RETURNING id, profile_id, before, stage)
    INSERT INTO events (event_id, profile_id, shard, name, type, properties, occurred_at, received_at, source,
        message_id, routed_at)
    SELECT gen_random_uuid(), profile_id, get_byte(uuid_send(profile_id), 15) % 64, 'stage.changed',
        'internal',
        jsonb_build_object('stage', stage, 'before', before), CAST(:now AS timestamptz), now(), 'hand',
        CAST(id AS text), now()
    FROM told
"""


RFM_BY_HAND: Final = """
    WITH measured AS (
        SELECT profile_id, max(occurred_at) AS last_at, count(*) AS orders,
            sum((properties ->> 'total')::numeric) AS money
        FROM events WHERE name = 'order.paid' AND occurred_at <= :now GROUP BY profile_id),
    scored AS (
        SELECT profile_id, ntile(5) OVER (ORDER BY last_at) AS recency,
            ntile(5) OVER (ORDER BY orders) AS frequency, ntile(5) OVER (ORDER BY money) AS monetary
        FROM measured)
    INSERT INTO rfm (profile_id, recency, frequency, monetary, segment, computed_at)
    SELECT profile_id, recency, frequency, monetary, CASE
            WHEN frequency >= 4 AND monetary >= 4 THEN 'loyal-fans' WHEN monetary >= 4 THEN 'true-love-fans'
            WHEN frequency >= 4 THEN 'strong-fans' WHEN frequency = 3 OR monetary = 3 THEN 'ordinary-fans'
            ELSE 'potential-fans' END, :now
    FROM scored
"""


async def run(lab: Lab) -> list[Finding]:
    """The rate of a nightly look at everybody, in profiles a second."""
    size = lab.sized(PEOPLE, 5_000)
    ours: list[float] = []
    theirs: list[float] = []
    changes: set[int] = set()
    async with opened(await lab.database("recompute")) as database:
        await apply(database, PROJECT)
        await fill(database, size, lab)
        await recompute(database, ["stage"], afresh=True, wall=lambda: NOW)
        for number in range(lab.pairs):
            for turn in (0, 1) if number % 2 else (1, 0):
                await _spoil(database)
                count, seconds = await (_ours(database) if turn else _theirs(database))
                changes.add(count)
                (ours if turn else theirs).append(size / seconds)
        scored, by_hand = await _rfm(database, size, lab.pairs)
    assert len(changes) == 1, f"they change differently: {changes}"
    return [
        compared(
            f"RFM of {size:,} customers computed anew",
            "one SQL statement written by hand",
            scored,
            by_hand,
            0.5,
            "at least",
            unit="profiles a second",
        ),
        compared(
            f"stages of {size:,} customers computed anew, changes written with history and events",
            "one SQL statement written by hand that does the same",
            ours,
            theirs,
            0.5,
            "at least",
            unit="profiles a second",
            notes=[f"{changes.pop():,} are in another stage each time", f"{EVENTS} events a profile"],
        ),
    ]


async def _rfm(database: AsyncEngine, size: int, pairs: int) -> tuple[list[float], list[float]]:
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        for turn in (0, 1) if number % 2 else (1, 0):
            async with database.begin() as connection:
                await connection.execute(sa.text("TRUNCATE rfm"))
            began = time.perf_counter()
            if turn == 0:
                await recompute_rfm(database, NOW)
            else:
                async with database.begin() as connection:
                    await connection.execute(sa.text("SET LOCAL work_mem = '256MB'"))
                    await connection.execute(sa.text(RFM_BY_HAND), {"now": NOW})
            rates[turn].append(size / (time.perf_counter() - began))
    return rates


async def _spoil(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        for statement in _SPOIL:
            await connection.execute(sa.text(statement), {"now": NOW} if ":now" in statement else {})
    async with database.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(sa.text("VACUUM (ANALYZE) stages, stage_changes"))


async def _ours(database: AsyncEngine) -> tuple[int, float]:
    began = time.perf_counter()
    [done] = (await recompute(database, ["stage"], wall=lambda: NOW)).done
    return done.came, time.perf_counter() - began


async def _theirs(database: AsyncEngine) -> tuple[int, float]:
    began = time.perf_counter()
    async with database.begin() as connection:
        # As much room as ours has.
        await connection.execute(sa.text("SET LOCAL work_mem = '256MB'"))
        values = {"now": NOW, "since": NOW - timedelta(days=365)}
        result = await connection.execute(sa.text(BY_HAND), values)
    return result.rowcount, time.perf_counter() - began
