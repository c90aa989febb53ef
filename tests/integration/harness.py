"""A whole Kairos in the test's process: router, journeys, sends, on real PostgreSQL and Temporal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from engine.cli.applying import apply_project
from engine.ingest.intake import Accepted, accept
from engine.language.project import check_project
from engine.pool.waker import Waker
from engine.store import clock, enrolments, outbox, traces
from engine.store.clock import ScaledClock
from engine.store.database import open_database
from engine.store.enrolments import Enrolment, Filter
from engine.store.outbox import OutboxMessage
from engine.temporal.client import TemporalRunner, TemporalStarter, connect
from workers.journeys import run_journeys
from workers.moments import run_moments
from workers.pool import run_pool
from workers.router import run_router
from workers.send import run_all_sends

SOURCE = "test"
PARTS = ("router", "journeys", "send")
POOL = (*PARTS, "pool")


@dataclass
class Kairos:
    database: AsyncEngine
    client: Client
    clock: ScaledClock

    async def apply(self, files: Mapping[str, str]) -> None:
        """Checks and applies a project."""
        project = check_project(files)
        assert not project.errors, project.errors
        await apply_project(self.database, project, files)

    async def send(self, *messages: dict[str, Any]) -> None:
        """Segment-shaped messages through the intake."""
        now = datetime.now(UTC)
        answers = await accept(self.database, SOURCE, messages, now)
        assert all(isinstance(answer, Accepted) for answer in answers), answers

    async def enrolments(self, journey: str | None = None) -> list[Enrolment]:
        async with self.database.connect() as connection:
            return await enrolments.find(connection, Filter(journey=journey), limit=10_000)

    async def outbox(self) -> list[OutboxMessage]:
        async with self.database.connect() as connection:
            return await outbox.find(connection, limit=10_000)

    async def trace(self, enrolment_id: str) -> list[tuple[str, str | None, str | None]]:
        """(result, step, detail) of every line that all drivers share."""
        async with self.database.connect() as connection:
            lines = await traces.read_batch(connection, [enrolment_id])
        return [(t.result, t.step, t.detail) for t in lines[enrolment_id] if t.result != "ignored"]

    async def ended(self, count: int, seconds: float = 60) -> list[Enrolment]:
        """Waits until that many enrolments have ended, and none is live."""
        found: list[Enrolment] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await self.enrolments()
                    if sum(e.status == "ended" for e in found) >= count and len(found) == count:
                        return found
                    await asyncio.sleep(0.1)
        except TimeoutError:
            standing = [(e.journey, e.status, e.step, e.exit) for e in found]
            raise AssertionError(f"waited {seconds} s for {count} ended enrolments; got {standing}") from None


@contextlib.asynccontextmanager
async def kairos(
    database_url: str,
    temporal_address: str,
    *,
    start: datetime | None = None,
    speed: float = 1.0,
    grace: float = 1.0,
    files: Mapping[str, str] | None = None,
    parts: Collection[str] = PARTS,
) -> AsyncIterator[Kairos]:
    """All of it, on a clock that begins at `start` and runs at `speed`.

    `files` is a project to apply before anything runs; `parts` are those that run here: fault tests run the
    others as processes of their own, to kill them.
    """
    database = open_database(database_url)
    now = datetime.now(UTC)
    ticking = clock.REAL_TIME
    if start is not None:
        ticking = ScaledClock(start, now, speed, timedelta(seconds=grace))
        async with database.begin() as connection:
            await clock.save(connection, ticking)
    client = await connect(temporal_address)
    running = Kairos(database, client, ticking)
    if files is not None:
        await running.apply(files)
    stop = asyncio.Event()
    work = {
        "router": lambda: run_router(
            database,
            TemporalStarter(client),
            runner=TemporalRunner(client),
            waker=Waker(database, client) if "pool" in parts else None,
            stop=stop,
        ),
        "moments": lambda: run_moments(database, client, stop),
        "journeys": lambda: run_journeys(database, client, stop),
        "send": lambda: run_all_sends(database, client, stop),
        "pool": lambda: run_pool(database, client, stop),
    }
    tasks = [asyncio.create_task(work[part]()) for part in parts]
    try:
        yield running
    finally:
        stop.set()
        async with asyncio.timeout(30):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        await database.dispose()
        for result in results:
            if isinstance(result, Exception):
                raise result
