"""Counting a segment of four conditions over all customers, against the same query written by hand.

The conditions are an attribute, a tag, a computed attribute over events, and consent. By hand it is written
in two ways, as one would for few customers and for many; the one that is quicker here is the baseline. Ours
is what `kairos segment count` does, from the name of the segment to the number.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.customers import EVENTS, FULL, NOW, PEOPLE, base
from benchmarks.findings import Finding, compared, figure
from benchmarks.lab import Lab, opened
from engine.customers import segments

NAME: Final = "loyal"
_OURS_ALONE: Final = """
    p.merged_into IS NULL AND p.attributes ->> 'tier' = 'gold' AND p.tags @> ARRAY['newsletter']
    AND (SELECT c.granted FROM consents c WHERE c.profile_id = p.id AND c.category = 'marketing'
        AND c.channel IN ('sms', '*') ORDER BY c.at DESC, c.id DESC LIMIT 1)
"""
_PAID: Final = "e.name = 'order.paid' AND e.occurred_at >= :since AND e.occurred_at <= :now"
BY_HAND: Final = {
    "one by one": f"""
        SELECT count(*) FROM profiles p WHERE {_OURS_ALONE}
        AND (SELECT count(*) FROM events e WHERE e.profile_id = p.id AND {_PAID}) >= 3""",
    "joined": f"""
        SELECT count(*) FROM profiles p JOIN (
            SELECT e.profile_id FROM events e WHERE {_PAID} GROUP BY e.profile_id HAVING count(*) >= 3
        ) o ON o.profile_id = p.id WHERE {_OURS_ALONE}""",
}


async def run(lab: Lab) -> list[Finding]:
    """The rate of a count, in profiles a second."""
    sizes = [lab.sized(PEOPLE, 5_000)] + ([lab.sized(FULL, 50_000)] if lab.full else [])
    return [await _at(lab, size) for size in sizes]


async def _at(lab: Lab, size: int) -> Finding:
    async with opened(await base(lab, size)) as database:
        by_hand, told = await _quickest(database)
        ours: list[float] = []
        theirs: list[float] = []
        counts: set[int] = set()
        for number in range(lab.pairs):
            for turn in (0, 1) if number % 2 else (1, 0):
                count, seconds = await (_ours(database) if turn else _theirs(database, by_hand))
                counts.add(count)
                (ours if turn else theirs).append(size / seconds)
    assert len(counts) == 1, f"they count differently: {counts}"
    return compared(
        f"a segment of four conditions, counted over {size:,} profiles",
        "the same query written by hand, the quicker of two",
        ours,
        theirs,
        0.9,
        "at least",
        unit="profiles a second",
        notes=[f"{counts.pop():,} are in it; by hand {told}", f"{EVENTS} events a profile"],
    )


async def _quickest(database: AsyncEngine) -> tuple[str, str]:
    took = {}
    for name, text in BY_HAND.items():
        await _theirs(database, text)
        took[name] = min([(await _theirs(database, text))[1] for _ in range(2)])
    best = min(took, key=lambda name: took[name])
    told = ", ".join(f"{name} {figure(seconds)} s" for name, seconds in took.items())
    return BY_HAND[best], told


async def _ours(database: AsyncEngine) -> tuple[int, float]:
    async def count(connection: AsyncConnection) -> int:
        return await segments.count(connection, await segments.named(connection, NAME), NOW)

    return await _timed(database, count)


async def _theirs(database: AsyncEngine, text: str) -> tuple[int, float]:
    async def count(connection: AsyncConnection) -> int:
        values = {"now": NOW, "since": NOW - timedelta(days=365)}
        return int((await connection.execute(sa.text(text), values)).scalar_one())

    return await _timed(database, count)


async def _timed(
    database: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[int]]
) -> tuple[int, float]:
    async with database.connect() as connection:
        began = time.perf_counter()
        found = await work(connection)
        return found, time.perf_counter() - began
