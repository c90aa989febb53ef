"""Finds shards that have rows due while nobody is at them, and has Temporal open or wake them.

A turn that is under way hears of new rows by itself, so most of what happens in a busy journey never comes
this way. Any number of these may run: a shard that is woken twice takes one turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from engine.pool.workflow import JOURNEY, OPEN, QUEUE, WAKE, JourneyInput, journey_id, shard_id
from engine.store import pool
from engine.store.listening import Listener
from engine.store.tables import POOL_CHANNEL
from engine.temporal.client import JOURNEY_ATTRIBUTE

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

log = logging.getLogger(__name__)

POLL: Final = 1.0
_TOGETHER: Final = 0.05
"""Seconds between two looks: what comes in meanwhile is one signal."""
_REMEMBERED: Final = 2.0
"""Seconds in which a shard is not woken again: its turn is about to begin."""


class Waker:
    def __init__(self, database: AsyncEngine, client: Client) -> None:
        self._database = database
        self._client = client
        self._woken: dict[tuple[str, int], float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Wakes shards until `stop` is set."""
        async with Listener(self._database, POOL_CHANNEL) as listener:
            while not stop.is_set():
                try:
                    await self.look()
                except Exception as error:  # the database or Temporal is away for a while
                    log.warning("shards cannot be woken and are tried again: %s", type(error).__name__)
                if await listener.wait(POLL, stop):
                    await asyncio.sleep(_TOGETHER)

    async def look(self) -> int:
        """Wakes every shard that has rows due and nobody at it; how many."""
        async with self._database.connect() as connection:
            found = await pool.asleep(connection, datetime.now(UTC))
        now = asyncio.get_running_loop().time()
        self._woken = {shard: at for shard, at in self._woken.items() if now - at < _REMEMBERED}
        todo = [shard for shard in found if shard not in self._woken]
        self._woken |= dict.fromkeys(todo, now)
        gone = await asyncio.gather(*(self._wake(*shard) for shard in todo))
        await self._open(shard for shard, there in zip(todo, gone, strict=True) if not there)
        return len(todo)

    async def _wake(self, journey: str, shard: int) -> bool:
        """Wakes a shard; whether it was there."""
        try:
            await self._client.get_workflow_handle(shard_id(journey, shard)).signal(WAKE)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def _open(self, shards: Iterable[tuple[str, int]]) -> None:
        by_journey: dict[str, list[int]] = {}
        for journey, shard in shards:
            by_journey.setdefault(journey, []).append(shard)
        for journey, numbers in by_journey.items():
            await self._client.start_workflow(
                JOURNEY,
                JourneyInput(journey),
                id=journey_id(journey),
                task_queue=QUEUE,
                start_signal=OPEN,
                start_signal_args=[numbers],
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes([SearchAttributePair(JOURNEY_ATTRIBUTE, journey)]),
                static_summary=f"{journey}, in the pool",
            )
