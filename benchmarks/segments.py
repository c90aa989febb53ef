"""Counting a segment of four conditions over all customers, against the same query written by hand.

The conditions are an attribute, a tag, a computed attribute over events, and consent. By hand it is written
in two ways, as one would for few customers and for many; the one that is quicker here is the baseline. Ours
is what `kairos segment count` does, from the name of the segment to the number.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.findings import Finding, compared, figure
from benchmarks.lab import Lab, apply, opened
from engine.customers import segments

PEOPLE: Final = 1_000_000
FULL: Final = 10_000_000
"""With `BENCH_FULL=1`."""
EVENTS: Final = 10
NOW: Final = datetime(2026, 11, 11, 12, tzinfo=UTC)
NAME: Final = "loyal"
FILES: Final = {
    "kairos.yaml": "version: 1\n",
    "journeys/catalog.yaml": """
events:
  order.paid: {properties: {total: number}}
  page.viewed: {}
profile:
  tier: text
  city: text
  first_name: {type: text, personal: true}
  points: number
  joined: date
  orders: {type: number, computed: 'count("order.paid", "365d")'}
tags: [newsletter, tea, staff]
segments:
  loyal: profile.tier == "gold" and has_tag("newsletter") and profile.orders >= 3 and consent("sms")
""",
}

# Everything is drawn from the number of the customer, so that it is the same in every run.
_PEOPLE: Final = """
INSERT INTO profiles (id, key, external_id, attributes, addresses, tags)
SELECT CAST(md5('p' || n) AS uuid), encode(sha256(convert_to('external_id:' || n, 'UTF8')), 'hex'), 'c-' || n,
    jsonb_build_object('tier', (ARRAY['none', 'silver', 'gold'])[1 + abs(hashint4(n) % 3)],
        'city', 'City ' || n % 97, 'first_name', 'Name ' || n % 1013, 'points', n % 1000,
        'joined', CAST(date '2020-01-01' + n % 2000 AS text)),
    jsonb_build_object('phone', '+86139' || lpad(CAST(n AS text), 8, '0')),
    CASE n % 4 WHEN 0 THEN ARRAY['newsletter', 'tea', 'vip'] WHEN 1 THEN ARRAY['newsletter', 'x', 'y']
        WHEN 2 THEN ARRAY['tea', 'x', 'z'] ELSE ARRAY['x', 'y', 'z'] END
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n
"""
_EVENTS: Final = """
INSERT INTO events (event_id, profile_id, shard, name, properties, occurred_at, received_at, source,
    message_id, routed_at)
SELECT CAST(md5(n || '/' || e) AS uuid), CAST(md5('p' || n) AS uuid), 0,
    CASE WHEN hashint4(n * 16 + e) % 3 = 0 THEN 'order.paid' ELSE 'page.viewed' END,
    jsonb_build_object('total', n % 200),
    CAST(:now AS timestamptz) - make_interval(mins => abs(hashint4(n * 16 + e) % 1000000)), now(), 'bench',
    n || '/' || e, now()
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n,
    generate_series(1, CAST(:events AS integer)) e
"""
_CONSENTS: Final = """
INSERT INTO consents (profile_id, channel, category, granted, at)
SELECT CAST(md5('p' || n) AS uuid), CASE WHEN k = 0 THEN 'sms' ELSE '*' END, 'marketing', (n + k) % 5 > 0,
    CAST(:now AS timestamptz) - make_interval(days => 300 - k * 100)
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n, generate_series(0, 1) k
WHERE k = 0 OR n % 10 = 0
"""
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
SLICE: Final = 100_000


async def run(lab: Lab) -> list[Finding]:
    """The rate of a count, in profiles a second."""
    sizes = [lab.sized(PEOPLE, 5_000)] + ([lab.sized(FULL, 50_000)] if lab.full else [])
    return [await _at(lab, size) for size in sizes]


async def _at(lab: Lab, size: int) -> Finding:
    async with opened(await lab.database("segments")) as database:
        await apply(database, FILES)
        await fill(database, size)
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


async def fill(database: AsyncEngine, size: int) -> None:
    """So many customers, with their events and consents."""
    for first in range(1, size + 1, SLICE):
        async with database.begin() as connection:
            span = {"first": first, "last": min(size, first + SLICE - 1)}
            await connection.execute(sa.text(_PEOPLE), span)
            await connection.execute(sa.text(_EVENTS), {**span, "now": NOW, "events": EVENTS})
            await connection.execute(sa.text(_CONSENTS), {**span, "now": NOW})
    # They have been there for long: the server knows how its tables look.
    async with database.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(sa.text("VACUUM (ANALYZE) profiles, events, consents"))


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
