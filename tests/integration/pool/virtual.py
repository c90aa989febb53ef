"""Router and pool on real PostgreSQL, under a wall clock that jumps from one instant to the next."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels import Adapter
from channels.webhook import WebhookCaller
from engine.cli.applying import apply_project
from engine.core.identity import event_id
from engine.effects.ports import EffectPorts
from engine.ingest.intake import Accepted, accept
from engine.ingest.manual import enter_manually
from engine.ingest.operating import operate
from engine.ingest.router import Router
from engine.language.project import check_project
from engine.pool.batch import run_batch
from engine.pool.ports import PoolPorts
from engine.sdk import Action
from engine.store import clock, entries, pool, profiles
from engine.store.clock import ScaledClock
from engine.store.database import open_database
from tests.integration.parity.authoring import ACTIONS, signatures
from tests.integration.parity.crowds import Burst, Operation
from workers.live import Live, open_adapters

SOURCE = "test"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiB0aGUgcG9vbA=="


@dataclass(frozen=True)
class HandEntry:
    """Somebody puts a customer (by profile key) into a `manual` journey, at a logical instant."""

    at: datetime
    journey: str
    profile_key: str
    properties: Mapping[str, object]
    message_id: str


Happening = Burst | Operation | HandEntry


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
    """`batch` is how many rows the pool takes at a time; `source` that of the messages."""

    database: AsyncEngine
    clock: VirtualClock
    ports: PoolPorts
    router: Router
    batch: int = 1_000
    source: str = SOURCE
    worked: int = field(default=0)
    """Rows taken, all in all."""

    async def apply(self, files: Mapping[str, str]) -> None:
        project = check_project(files, signatures())
        assert not project.errors, project.errors
        await apply_project(self.database, project, files)

    async def play(self, happenings: Sequence[Happening]) -> None:
        """Lets each happen at its instant, controls first, and everything else between them and after."""
        ordered = sorted(happenings, key=lambda each: (each.at, not isinstance(each, Operation)))
        for instant, together in groupby(ordered, key=lambda each: each.at):
            at = self.clock.ticking.wall(instant)
            while (due := await self.next_at()) is not None and due < at:
                await self.to(due)
            self.clock.wall = max(self.clock.wall, at)
            for given in together:
                await self.take(given)
            await self.settle()
        while (due := await self.next_at()) is not None:
            await self.to(due)

    async def take(self, given: Happening) -> None:
        """Hands it in, and does nothing more."""
        if isinstance(given, Operation):
            await operate(self.database, given.journey, given.action, at=given.at)
        elif isinstance(given, HandEntry):
            async with self.database.begin() as connection:
                found = await profiles.by_key(connection, [given.profile_key])
                profile_id = found[given.profile_key].id
                await enter_manually(
                    connection, given.journey, profile_id, given.properties, given.message_id, given.at
                )
        else:
            answers = await accept(self.database, self.source, given.messages, self.clock.now())
            assert all(isinstance(answer, Accepted) for answer in answers), answers

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
        done = sum([(await run_batch(self.ports, *shard, self.batch)).taken for shard in due])
        self.worked += done
        return done

    async def next_at(self) -> datetime | None:
        """The wall instant at which something is due next."""
        async with self.database.connect() as connection:
            settling = await entries.next_due(connection)
            next_row = await connection.scalar(sa.text("SELECT min(wake_at) FROM pool_rows"))
        instants = [] if next_row is None else [next_row]
        if settling is not None:
            instants.append(self.clock.ticking.fires_at(settling))
        return min(instants, default=None)

    def event_id(self, message_id: str) -> str:
        return event_id(self.source, message_id)


@contextlib.asynccontextmanager
async def virtual(
    database_url: str,
    files: Mapping[str, str],
    start: datetime,
    *,
    grace: timedelta | None = None,
    batch: int = 1_000,
    source: str = SOURCE,
    actions: Mapping[str, Action] = ACTIONS,
) -> AsyncIterator[Virtual]:
    """The project applied, nothing happened yet.

    With a `grace` the clock is scaled, but only in that it forgives lag; without one it is that of real time.
    """
    ticking = clock.REAL_TIME
    if grace is not None:
        ticking = ScaledClock(start, start + timedelta(seconds=1), 1.0, grace)
    database = open_database(database_url)
    try:
        if ticking.scaled:
            async with database.begin() as connection:
                await clock.save(connection, ticking)
        shown = VirtualClock(ticking, ticking.wall(start))
        router = Router(database, wall=lambda: shown.wall)
        live = Live(database)
        async with contextlib.AsyncExitStack() as stack:
            caller = WebhookCaller([SECRET])
            stack.push_async_callback(caller.close)
            channels = ("sms", "email", "push", "wechat")
            adapters: Mapping[str, Adapter]
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
                actions=actions,
            )
            ports = PoolPorts(work=work, wall=lambda: shown.wall)
            found = Virtual(database, shown, ports, router, batch=batch, source=source)
            await found.apply(files)
            yield found
    finally:
        await database.dispose()


__all__ = ["Burst", "HandEntry", "Happening", "Operation", "Virtual", "virtual"]
