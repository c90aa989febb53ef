"""What the benchmarks of the pool share: the crowd's project, its processes, how it enters and is done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import psutil
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.flow import SECRET
from benchmarks.lab import Lab, apply, opened
from benchmarks.pool_people import bring
from engine.ingest.crowds import Crowds, ask
from engine.store import deliveries, jsonb
from engine.store.tables import POOL_CHANNEL, POOL_SHARDS, SHARDS
from tests.integration.processes import Child, Processes, processes

JOURNEY = "spring"
NULL = "{adapter: benchmarks.null:NullAdapter}"
TEXTS = {
    "spring-tea": "Hello {{ profile.first_name | default('there') }}, the first tea of spring has come in",
    "spring-cup": "{{ profile.first_name | default('You') }}, a cup is yours with the first tea of spring",
}
HALVES = """
  - id: halves
    split:
      variants:
        - {name: tea, weight: 50, steps: [{id: tea, message: {template: spring-tea, channels: [CHANNEL]}}]}
        - {name: cup, weight: 50, steps: [{id: cup, message: {template: spring-cup, channels: [CHANNEL]}}]}
"""
WRITTEN = ("enrolments", "pool_rows", "deliveries", "traces", "effects", "events", "entry_states", "crowds")
"""Tables that a crowd leaves something in."""
MARK = "first"
SLICE = 10_000
LONGEST = 3_600.0


def project(steps: str = HALVES, channel: str = "sms", settings: str = NULL) -> dict[str, str]:
    """The crowd's journey: two halves, a personal text each. `settings` of the channel, in `kairos.yaml`."""
    part, before, after = (
        ("json", '{"text": "', '", "tea": "Longjing"}') if channel == "webhook" else ("text", "", "")
    )
    return {
        "kairos.yaml": f"version: 1\nchannels:\n  {channel}: {settings}\n",
        "journeys/catalog.yaml": "profile:\n  first_name: {type: text, personal: true}\n",
        f"journeys/{JOURNEY}.yaml": f"journey: {JOURNEY}\nrun_as: pool\ntrigger: {{manual: true}}\nsteps:"
        + steps.replace("CHANNEL", channel),
    } | {f"templates/{name}/{channel}.{part}.j2": f"{before}{text}{after}\n" for name, text in TEXTS.items()}


@dataclass
class Crowd:
    """An installation with its customers. Its router runs, and as many of the pool's workers as wanted."""

    database: AsyncEngine
    raw: asyncpg.Connection
    parts: Processes
    workers: list[Child]
    marked: int = 0

    async def staff(self, count: int) -> None:
        """Has so many workers, all of them fresh."""
        await self.dismiss()
        self.workers = [self.parts.pool(f"pool-{number}") for number in range(1, count + 1)]
        for worker in self.workers:
            worker.start(wait=False)
        for worker in self.workers:
            await asyncio.to_thread(worker.wait_until_ready)

    async def dismiss(self) -> None:
        for worker in self.workers:
            await asyncio.to_thread(worker.stop)
        self.workers = []

    async def play(self, count: int) -> float:
        """Seconds from asking for so many customers to the last settled row. Empties the tables before."""
        await self.clear()
        await self.mark(count)
        began = time.perf_counter()
        async with self.database.begin() as connection:
            await ask(connection, JOURNEY, {}, tag=MARK)
        await emptied(self.raw, "crowds", "status IN ('waiting', 'entering')")
        took = await emptied(self.raw, "pool_rows") - began
        found = await self.raw.fetchrow(
            "SELECT (SELECT count(*) FROM deliveries WHERE state = 'accepted') AS sent, "
            "(SELECT count(*) FROM enrolments WHERE status = 'ended' AND exit = 'completed') AS ended"
        )
        if tuple(found or ()) != (count, count):
            raise AssertionError(f"{count} entered; (sent, ended) are {tuple(found or ())}")
        return took

    async def mark(self, count: int) -> None:
        """Has the first so many customers carry the tag of those who are let in."""
        if count != self.marked:
            await self.raw.execute("UPDATE profiles SET tags = '{}' WHERE tags <> '{}'")
            await self.raw.execute(
                "UPDATE profiles SET tags = ARRAY[$1] "
                "WHERE id IN (SELECT id FROM profiles ORDER BY id LIMIT $2)",
                MARK,
                count,
            )
            await self.raw.execute("VACUUM ANALYZE profiles")
            self.marked = count

    async def clear(self) -> None:
        """As before the first crowd."""
        await self.raw.execute(f"TRUNCATE {', '.join(WRITTEN)}")


@contextlib.asynccontextmanager
async def crowding(
    lab: Lab, name: str, files: Mapping[str, str], people: int, channel: str = "sms"
) -> AsyncIterator[Crowd]:
    """So many customers, the project applied, Temporal and the router up, no worker yet."""
    url = await lab.database(name)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.temporal(name))
        database = await stack.enter_async_context(opened(url))
        await apply(database, files)
        raw = await stack.enter_async_context(directly(url))
        await bring(raw, people, channel)
        async with database.begin() as connection:
            await deliveries.ensure_month(connection, datetime.now(UTC).date())
        parts = stack.enter_context(processes(lab.place(name), url, server.address, SECRET=SECRET))
        await asyncio.to_thread(parts.router().start)
        yield Crowd(database, raw, parts, [])


@contextlib.asynccontextmanager
async def directly(url: str) -> AsyncIterator[asyncpg.Connection]:
    """asyncpg, with nothing around it."""
    settings = {"jit": "off", "timezone": "UTC"}
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


# --- entering -------------------------------------------------------------------------------------------


async def let_in(database: AsyncEngine, journey: str = JOURNEY) -> None:
    """Lets every customer in, as a worker does, in this process."""
    async with database.begin() as connection:
        crowd = (await ask(connection, journey, {})).crowd
    work = Crowds(database)
    while (found := await work.advance(crowd.id)) is not None and not found.over:
        pass


_FIRST = "00000000-0000-0000-0000-000000000000"
_ENTER = f"""
    WITH seen AS MATERIALIZED (
        SELECT id, key FROM profiles WHERE id > $1 AND merged_into IS NULL ORDER BY id LIMIT $2),
    e AS (
        INSERT INTO enrolments (id, journey, digest, profile_id, profile_key, shard, one_per, trigger,
                                holdout, entered_at, entry_month, driver)
        SELECT uuidv7(), j.name, j.live_digest, s.id, s.key, get_byte(uuid_send(s.id), 15) % {SHARDS},
               'null', CAST($4 AS jsonb), false, $5, date_trunc('month', $5 AT TIME ZONE 'UTC')::date, 'pool'
        FROM seen s JOIN journeys j ON j.name = $3
        RETURNING id, shard, journey),
    p AS (
        INSERT INTO pool_rows (enrolment_id, journey, shard, wake_at)
        SELECT e.id, j.number, e.shard % {POOL_SHARDS}, '-infinity'
        FROM e JOIN journeys j ON j.name = e.journey)
    SELECT id FROM seen ORDER BY id DESC LIMIT 1
"""


async def enter(
    raw: asyncpg.Connection, count: int, journey: str = JOURNEY, at: datetime | None = None
) -> None:
    """Puts the first `count` profiles into the journey's rows, for benchmarks of what comes after entry."""
    at = at or datetime.now(UTC)
    trigger = jsonb.dumps({"id": str(await raw.fetchval("SELECT uuidv7()"))})
    last = _FIRST
    for start in range(0, count, SLICE):
        async with raw.transaction():
            last = await raw.fetchval(_ENTER, last, min(SLICE, count - start), journey, trigger, at)
            await raw.execute(
                "SELECT pg_notify($1, $2 || '/' || s) FROM generate_series(0, $3) s",
                POOL_CHANNEL,
                journey,
                POOL_SHARDS - 1,
            )


# --- being done -----------------------------------------------------------------------------------------


async def emptied(
    raw: asyncpg.Connection, table: str, where: str = "true", seconds: float = LONGEST
) -> float:
    """`time.perf_counter()` when the table has no such row left. A look takes no more than a twentieth of
    the time, and that is how late the answer may be."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.perf_counter()
        left = await raw.fetchval(f"SELECT EXISTS (SELECT FROM {table} WHERE {where})")
        now = time.perf_counter()
        if not left:
            return now
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {table} to have no row with {where}")
        await asyncio.sleep(max(0.02, 20 * (now - began)))


def resident(children: Sequence[Child]) -> list[float]:
    """Resident MiB of each process."""
    processes = [psutil.Process(child.process.pid) for child in children if child.process is not None]
    return [process.memory_info().rss / 2**20 for process in processes]


@contextlib.asynccontextmanager
async def peaks(children: Sequence[Child]) -> AsyncIterator[list[float]]:
    """The most resident MiB of each process while the block ran, looked at five times a second."""
    found = resident(children)

    async def watch() -> None:
        while True:
            found[:] = map(max, found, resident(children))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(watch())
    try:
        yield found
    finally:
        task.cancel()
