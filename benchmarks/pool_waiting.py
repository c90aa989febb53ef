"""What waiting enrolments cost: bytes in the database, and memory of the worker that brought them there.

Each enters, gets a message, and waits for an event that does not come. Every size has a worker of its own,
freshly started, and an empty database: what it takes with many must be what it takes with few.
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from benchmarks.findings import Finding, figure, single
from benchmarks.lab import Lab
from benchmarks.pool import crowding, emptied, enter, peaks, resident
from benchmarks.pool import project as crowd_project

SIZES = (30_000, 100_000)
FULL = (100_000, 1_000_000)
"""With `BENCH_FULL=1`."""
BYTES = 600.0
MEMORY = 400.0
SAME = 1.2
"""How much more memory with the larger crowd still counts as the same."""
COUNTED = ("enrolments", "pool_rows")
APART = ("deliveries", "traces")
STEPS = """
  - {id: tea, message: {template: spring-tea, channels: [CHANNEL]}}
  - {id: look, wait: {for_event: tea.looked_at, up_to: 14d}}
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many waiting enrolments: bytes of each by table, MiB of the worker when it was new and at most."""

    size: int
    bytes: dict[str, float]
    empty: float
    peak: float


def project() -> dict[str, str]:
    """The crowd's journey with a message and a wait."""
    files = crowd_project(STEPS)
    files["journeys/catalog.yaml"] += "events:\n  tea.looked_at: {properties: {}}\n"
    return files


async def run(lab: Lab) -> list[Finding]:
    """Bytes of an enrolment, and MiB of a worker."""
    few, many = [await _waiting(lab, lab.sized(size, 1_000)) for size in (FULL if lab.full else SIZES)]
    counted = sum(many.bytes[table] for table in COUNTED)
    each = ", ".join(f"`{table}` {figure(many.bytes[table])}" for table in (*COUNTED, *APART))
    growth = many.peak / few.peak
    return [
        single(
            "bytes of a waiting enrolment in the pool, indexes included",
            counted,
            BYTES,
            "at most",
            unit="bytes",
            notes=[
                f"`enrolments` and `pool_rows` of {many.size:,}, after VACUUM; {each} bytes each",
                f"with {few.size:,}: {figure(sum(few.bytes[table] for table in COUNTED))} bytes",
            ],
        ),
        single(
            f"memory of a worker of the pool with {many.size:,} enrolments",
            many.peak,
            MEMORY,
            "at most",
            unit="MiB resident, at most",
            notes=[
                f"with {few.size:,}: {figure(few.peak)} MiB; before the first one {figure(many.empty)} MiB"
            ],
        ),
        single(
            f"the same with {many.size:,} as with {few.size:,}", growth, SAME, "at most", unit="times as much"
        ),
    ]


async def _waiting(lab: Lab, size: int) -> Waiting:
    async with crowding(lab, "waiting", project(), size) as crowd:
        await crowd.staff(1)
        [empty] = resident(crowd.workers)
        async with peaks(crowd.workers) as most:
            await enter(crowd.raw, size)
            await emptied(crowd.raw, "pool_rows", "state IS NULL")
        await crowd.dismiss()
        return Waiting(size, await _bytes(crowd.raw, size), empty, most[0])


async def _bytes(raw: asyncpg.Connection, size: int) -> dict[str, float]:
    """Bytes of each enrolment by table; what partitions hold counts with their table."""
    tables = (*COUNTED, *APART)
    live = await raw.fetchval("SELECT count(*) FROM pool_rows")
    if live != size:
        raise AssertionError(f"{size} entered, {live} wait")
    await raw.execute(f"VACUUM (ANALYZE) {', '.join(tables)}")
    return {
        table: float(
            await raw.fetchval(
                "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::regclass)", table
            )
            or await raw.fetchval("SELECT pg_total_relation_size($1::regclass)", table)
        )
        / size
        for table in tables
    }
