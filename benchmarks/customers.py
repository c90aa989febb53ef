"""The customers of the benchmarks that ask everybody: five attributes, three tags, ten events each.

A base is filled once in a run and kept under its size; with `BENCH_HOME` it stays for later runs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.lab import Lab, apply, opened
from engine.store.database import upgrade

PEOPLE: Final = 1_000_000
FULL: Final = 10_000_000
"""With `BENCH_FULL=1`."""
EVENTS: Final = 10
NOW: Final = datetime(2026, 11, 11, 12, tzinfo=UTC)
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
SLICE: Final = 100_000
MANY: Final = 300_000
"""From so many on indexes are taken away while rows come in, and made anew behind them."""
_TABLES: Final = ("profiles", "events", "consents")


async def base(lab: Lab, size: int) -> str:
    """URL of a database with so many customers. It is for reading: what changes rows puts them back."""
    url, fresh = await lab.kept(f"base_{size}")
    async with opened(url) as database:
        await upgrade(database)
        if fresh:
            lab.say(f"{size:,} customers with {EVENTS} events each")
        await fill(database, size, lab)
        await apply(database, FILES)
    return url


async def fill(database: AsyncEngine, size: int, lab: Lab) -> None:
    """So many customers, with their events and consents. Goes on where an earlier run was cut off."""
    outside = database.execution_options(isolation_level="AUTOCOMMIT")
    async with outside.connect() as connection:
        await connection.execute(sa.text("CREATE TABLE IF NOT EXISTS bench_filled (last integer)"))
        await connection.execute(sa.text("CREATE TABLE IF NOT EXISTS bench_indexes (made text)"))
        if size >= MANY:
            await _without_indexes(connection)
        last = (await connection.execute(sa.text("SELECT max(last) FROM bench_filled"))).scalar_one() or 0
    for first in range(last + 1, size + 1, SLICE):
        async with database.begin() as connection:
            await connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
            span = {"first": first, "last": min(size, first + SLICE - 1)}
            await connection.execute(sa.text(_PEOPLE), span)
            await connection.execute(sa.text(_EVENTS), {**span, "now": NOW, "events": EVENTS})
            await connection.execute(sa.text(_CONSENTS), {**span, "now": NOW})
            await connection.execute(sa.text("INSERT INTO bench_filled VALUES (:last)"), span)
        if first // SLICE % 10 == 9:
            lab.say(f"{span['last']:,}")
    async with outside.connect() as connection:
        await _with_indexes(connection)
        # They have been there for long: the server knows how its tables look.
        if last < size:
            await connection.execute(sa.text(f"VACUUM (ANALYZE) {', '.join(_TABLES)}"))


async def _without_indexes(connection: AsyncConnection) -> None:
    if (await connection.execute(sa.text("SELECT 1 FROM bench_filled LIMIT 1"))).first() is not None:
        return
    found = await connection.execute(
        sa.text("""
            SELECT CAST(i.indrelid AS regclass)::text AS of, c.relname AS name,
                pg_get_indexdef(i.indexrelid) AS definition, k.conname AS key,
                pg_get_constraintdef(k.oid) AS keydef
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
            WHERE CAST(i.indrelid AS regclass)::text = ANY(:tables)
        """),
        {"tables": list(_TABLES)},
    )
    for row in found.all():
        made = str(row.definition).replace(" ON ONLY ", " ON ")  # and so on its partitions
        drop = f"DROP INDEX {row.name}"
        if row.key is not None:
            made = f"ALTER TABLE {row.of} ADD CONSTRAINT {row.key} {row.keydef}"
            drop = f"ALTER TABLE {row.of} DROP CONSTRAINT {row.key}"
        await connection.execute(sa.text("INSERT INTO bench_indexes VALUES (:made)"), {"made": made})
        await connection.execute(sa.text(drop))


async def _with_indexes(connection: AsyncConnection) -> None:
    await connection.execute(sa.text("SET maintenance_work_mem = '1GB'"))
    for (made,) in (await connection.execute(sa.text("SELECT made FROM bench_indexes"))).all():
        await connection.execute(sa.text(made))
        await connection.execute(sa.text("DELETE FROM bench_indexes WHERE made = :made"), {"made": made})
