"""Router and pool on real PostgreSQL, under a wall clock that jumps from one instant to the next."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.testing.sink import FakeHttpSink
from channels.webhook import WebhookCaller
from engine.cli.applying import apply_project
from engine.effects.ports import EffectPorts
from engine.ingest.intake import Accepted, accept
from engine.ingest.router import Router
from engine.language.project import check_project
from engine.pool.batch import run_batch
from engine.pool.ports import PoolPorts
from engine.store import clock, entries, pool
from engine.store.clock import ScaledClock
from engine.store.database import open_database
from workers.live import Live, open_adapters

SOURCE = "test"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiB0aGUgcG9vbA=="


@dataclass
class Burst:
    """Messages that come in together, at a logical instant, in this order."""

    at: datetime
    messages: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class VirtualClock:
    """The clock that ports read: `wall` is moved by hand."""

    ticking: ScaledClock
    wall: datetime

    @property
    def scaled(self) -> bool:
        return self.ticking.scaled

    def now(self) -> datetime:
        return self.ticking.logical(self.wall)


@dataclass
class Virtual:
    """`batch` is how many rows the pool takes at a time."""

    database: AsyncEngine
    clock: VirtualClock
    ports: PoolPorts
    router: Router
    journeys: list[str] = field(default_factory=list)
    batch: int = 1_000

    async def apply(self, files: Mapping[str, str]) -> None:
        project = check_project(files)
        assert not project.errors, project.errors
        await apply_project(self.database, project, files)
        self.journeys = sorted(project.plans)

    async def play(self, bursts: Sequence[Any]) -> None:
        """Sends each burst at its instant, and lets everything happen between them and after the last."""
        for burst in sorted(bursts, key=lambda burst: burst.at):
            at = self.clock.ticking.wall(burst.at)
            while (due := await self.next_at()) is not None and due < at:
                await self.to(due)
            self.clock.wall = max(self.clock.wall, at)
            answers = await accept(self.database, SOURCE, burst.messages, self.clock.now())
            assert all(isinstance(answer, Accepted) for answer in answers), answers
            await self.settle()
        while (due := await self.next_at()) is not None:
            await self.to(due)

    async def to(self, wall: datetime) -> None:
        self.clock.wall = max(self.clock.wall, wall)
        await self.settle()

    async def settle(self) -> None:
        """Until nothing is left to do at this instant."""
        while await self.router.sweep() + await self.work():
            pass

    async def work(self) -> int:
        async with self.database.connect() as connection:
            due = await pool.asleep(connection, self.clock.wall)
        return sum([(await run_batch(self.ports, *shard, self.batch)).taken for shard in due])

    async def next_at(self) -> datetime | None:
        """The wall instant at which something is due next."""
        async with self.database.connect() as connection:
            settling = await entries.next_due(connection)
            next_row = await connection.scalar(sa.text("SELECT min(wake_at) FROM pool_rows"))
        instants = [] if next_row is None else [next_row]
        if settling is not None:
            instants.append(self.clock.ticking.fires_at(settling))
        return min(instants, default=None)


@contextlib.asynccontextmanager
async def virtual(
    database_url: str, files: Mapping[str, str], start: datetime, *, grace: timedelta, batch: int = 1_000
) -> AsyncIterator[Virtual]:
    """The project applied, nothing happened yet. The clock is scaled only in that it forgives lag."""
    ticking = ScaledClock(start, start + timedelta(seconds=1), 1.0, grace)
    database = open_database(database_url)
    try:
        async with database.begin() as connection:
            await clock.save(connection, ticking)
        shown = VirtualClock(ticking, ticking.wall(start))
        router = Router(database, wall=lambda: shown.wall)
        live = Live(database)
        async with contextlib.AsyncExitStack() as stack:
            caller = WebhookCaller([SECRET])
            stack.push_async_callback(caller.close)
            channels = ("sms", "email", "push", "wechat")
            adapters = await stack.enter_async_context(
                open_adapters(database, await live.installation(), channels)
            )
            work = EffectPorts(
                database=database,
                adapters=adapters,
                project=live.project,
                plan=live.plan,
                worker_id="pool-test",
                clock=shown,
                webhooks=caller,
            )
            ports = PoolPorts(work=work, wall=lambda: shown.wall)
            found = Virtual(database, shown, ports, router, batch=batch)
            await found.apply(files)
            yield found
    finally:
        await database.dispose()


__all__ = ["Burst", "FakeHttpSink", "Virtual", "virtual"]
