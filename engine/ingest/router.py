"""The router: takes stored events shard by shard until it is told to stop.

Any number of routers may run. A shard belongs to whoever has its lock, for one transaction at a time, which
takes several shards: a busy hour puts few events into each, and a transaction costs more than an event. A
router is woken by `NOTIFY` when events come in, by the clock when a settling is due, and looks round every
few seconds in any case, so that a lost notification costs only time.

A batch that fails is tried again shard by shard, and there event by event. The event that fails alone is
noted with its error and passed over: one broken event must not stop the customers who share its shard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from engine.ingest.book import Book
from engine.ingest.heeded import Heeded
from engine.ingest.routing import BATCH, CrowdWasFirst, Routed, route, route_events
from engine.ingest.times import Time, time_at
from engine.store import clock, entries, events, rechecks, routing
from engine.store.database import in_transaction, is_outage
from engine.store.listening import Listener
from engine.store.tables import CLOCK_CHANNEL, EVENTS_CHANNEL, PROJECT_CHANNEL

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL: Final = timedelta(seconds=2)
"""How often a router looks round without being woken."""
AT_ONCE: Final = 4
"""Transactions that one router has open at the same time."""
TOGETHER: Final = 16
"""Shards of one transaction."""
TRIES: Final = 10
"""Of a batch that a crowd gets in the way of."""
PAUSE: Final = 0.02
"""Wall seconds from one look round to the next: what comes in meanwhile is taken together."""


@dataclass(slots=True)
class Tally:
    """What a router has done, for metrics and for people."""

    events: int = 0
    entered: int = 0
    woken: int = 0
    looked: int = 0
    broken: int = 0
    batches: int = 0

    def add(self, routed: Routed) -> None:
        self.events += routed.events
        self.entered += routed.entered
        self.woken += routed.woken
        self.looked += routed.looked
        self.batches += 1


@dataclass(slots=True)
class Router:
    """One router. `wall` is its wall clock, for tests."""

    database: AsyncEngine
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    batch: int = BATCH
    tally: Tally = field(default_factory=Tally)
    _book: Book = field(default_factory=Book)
    _heeded: Heeded = field(default_factory=Heeded)

    async def run(self, stop: asyncio.Event) -> None:
        """Routes until `stop` is set. Survives a database that goes away for a while."""
        async with Listener(self.database, EVENTS_CHANNEL, CLOCK_CHANNEL, PROJECT_CHANNEL) as listener:
            while not stop.is_set():
                try:
                    if await self.sweep():
                        await asyncio.sleep(PAUSE)
                    pause = await self.until_due()
                except Exception as error:
                    log.warning("the router could not work and tries again: %s", _causes(error))
                    pause = POLL.total_seconds()
                await listener.wait(min(pause, POLL.total_seconds()), stop)

    async def sweep(self) -> int:
        """Routes what there is, in all shards; returns the number of events taken and customers looked at."""
        before = self.tally.events + self.tally.looked
        async with self.database.connect() as connection:
            time = await self.time(connection)
            shards = sorted(
                {
                    *await events.unrouted_shards(connection),
                    *await entries.due_shards(connection, time.settle_by),
                    *await rechecks.shards(connection),
                }
            )
        waiting = iter([shards[start : start + TOGETHER] for start in range(0, len(shards), TOGETHER)])

        async def work() -> None:
            for some in waiting:
                await self.drain(some)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, -(-len(shards) // TOGETHER))):
                group.create_task(work())
        return self.tally.events + self.tally.looked - before

    async def drain(self, shards: Sequence[int]) -> None:
        """Routes these shards until nothing is left, or other routers have them."""
        left = tuple(shards)
        while left:
            now = left
            try:
                routed = await self._transaction(lambda c, now=now: self._route(c, now))  # type: ignore[misc]
            except Exception as error:
                if is_outage(error):
                    raise
                if len(left) > 1:
                    log.warning("a batch failed (%s); its shards are tried one by one", _causes(error))
                    for shard in left:
                        await self.drain([shard])
                    return
                log.exception("a batch of shard %s failed; its events are tried one by one", left[0])
                routed = await self._one_by_one(left[0])
            if routed is None:
                return
            self.tally.add(routed)
            left = routed.more

    async def until_due(self) -> float:
        """Wall seconds until the next settling is due, never less than a moment."""
        async with self.database.connect() as connection:
            due_at = await entries.next_due(connection)
            ticking = await clock.load(connection)
        if due_at is None:
            return POLL.total_seconds()
        return max(0.02, (ticking.fires_at(due_at) - self.wall()).total_seconds())

    async def time(self, connection: AsyncConnection) -> Time:
        """Logical time now, as a batch sees it; no settling runs ahead of a replay."""
        return await time_at(connection, self.wall())

    async def _route(self, connection: AsyncConnection, shards: Sequence[int]) -> Routed | None:
        time = await self.time(connection)
        return await route(connection, shards, self._book, time, self.batch, self._heeded)

    async def _one_by_one(self, shard: int) -> Routed | None:
        """The next batch of a shard, each event in a transaction of its own."""
        async with self.database.connect() as connection:
            batch = await events.unrouted(connection, shard, self.batch)
        total = 0
        for event in batch:
            try:
                if not await self._transaction(lambda c, e=event: self._route_one(c, e)):  # type: ignore[misc]
                    return None
                total += 1
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("event %s (%s) cannot be routed and is passed over", event.event_id, event.name)
                self.tally.broken += 1
                await in_transaction(
                    self.database,
                    lambda c, e=event, why=error: events.mark_broken(c, e.event_id, self.wall(), _told(why)),  # type: ignore[misc]
                )
        return Routed(events=total, more=(shard,) if len(batch) >= self.batch else ())

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs a batch, again where a crowd was first with one of its customers."""
        for _ in range(TRIES):
            try:
                return await in_transaction(self.database, work)
            except CrowdWasFirst:
                log.info("a crowd was first with a customer; the batch is taken again")
        raise CrowdWasFirst

    async def _route_one(self, connection: AsyncConnection, event: events.Event) -> bool:
        if not await routing.try_lock(connection, event.shard):
            return False
        if not (still := await events.unrouted_by_id(connection, event.event_id)):
            return True
        time = await self.time(connection)
        await route_events(connection, [event.shard], still, self._book, time, 1, self._heeded)
        return True


def _causes(error: BaseException) -> str:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    return ", ".join(sorted({type(one).__name__ for one in inner}))


def _told(error: Exception) -> str:
    """An error as a record keeps it: its kind, and no value of a customer's."""
    return type(error).__name__
