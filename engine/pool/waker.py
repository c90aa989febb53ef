"""Finds shards that have rows due while nobody is at them, and crowds that nobody has begun, and has Temporal
open or wake them.

A turn that is under way hears of new rows by itself, so most of what happens in a busy journey never comes
this way. Any number of these may run: a shard that is woken twice takes one turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from engine.core.identity import crowd_workflow_id
from engine.ingest.crowds import cancel
from engine.pool.crowd import CROWD, CrowdInput
from engine.pool.workflow import JOURNEY, OPEN, QUEUE, WAKE, JourneyInput, journey_id, shard_id
from engine.store import crowds, pool
from engine.store.crowds import Crowd
from engine.store.database import in_transaction
from engine.store.listening import Listener
from engine.store.tables import POOL_CHANNEL
from engine.temporal.client import JOURNEY_ATTRIBUTE

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

log = logging.getLogger(__name__)

POLL: Final = 1.0
_TOGETHER: Final = 0.05
"""Seconds between two looks: what comes in meanwhile is one signal."""
_NEGLECTED: Final = timedelta(seconds=30)
"""After which a crowd on which nobody works may have lost its workflow."""
_STOPPED: Final = (WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.CANCELED)
_REMEMBERED: Final = 2.0
"""Seconds in which a shard is not woken again: its turn is about to begin."""


class Waker:
    def __init__(self, database: AsyncEngine, client: Client) -> None:
        self._database = database
        self._client = client
        self._woken: dict[tuple[str, int], float] = {}
        self._begun: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Wakes shards until `stop` is set."""
        async with Listener(self._database, POOL_CHANNEL) as listener:
            while not stop.is_set():
                try:
                    await self.look()
                    await self.look_after_crowds()
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

    async def look_after_crowds(self) -> None:
        """Has Temporal begin crowds that were asked for, and those that lost their workflow."""
        async with self._database.connect() as connection:
            found = await crowds.neglected(connection, _NEGLECTED)
        now = asyncio.get_running_loop().time()
        self._begun = {one: at for one, at in self._begun.items() if now - at < _NEGLECTED.total_seconds()}
        for crowd in found:
            if crowd.id not in self._begun:
                await self._begin(crowd)
                self._begun[crowd.id] = now

    async def _begin(self, crowd: Crowd) -> None:
        workflow_id = crowd_workflow_id(crowd.journey, crowd.id)
        try:
            told = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
        else:
            if told.status in _STOPPED:  # by an operator, and nobody has said so in the database
                # The workflow that is started then sees to those who are in.
                await in_transaction(self._database, lambda c: cancel(c, crowd.id))
        await self._client.start_workflow(
            CROWD,
            CrowdInput(crowd.journey, crowd.id),
            id=workflow_id,
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=_in(crowd.journey),
            static_summary=f"a crowd into {crowd.journey}",
        )

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
                search_attributes=_in(journey),
                static_summary=f"{journey}, in the pool",
            )


def _in(journey: str) -> TypedSearchAttributes:
    return TypedSearchAttributes([SearchAttributePair(JOURNEY_ATTRIBUTE, journey)])
