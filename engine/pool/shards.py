"""Which shards this process works on, and who rings for them.

One connection holds an advisory lock for each shard in hand, so that no two processes work on the same rows;
a process that dies gives its locks back. The lock saves work, it is not what keeps messages single: the
version of a row and the record of each delivery do that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from engine.store import pool
from engine.store.listening import Listener
from engine.store.tables import POOL_CHANNEL

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

Shard = tuple[str, int]
"""(journey, number)."""


class Shards:
    """To be entered as a context, and `listen` to be run beside it."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._held: dict[Shard, asyncio.Event] = {}
        self._connection: AsyncConnection | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Shards:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._lock:
            await self._drop()

    @contextlib.asynccontextmanager
    async def hold(self, shard: Shard) -> AsyncIterator[bool]:
        """Whether the shard is ours for the block."""
        if shard in self._held:
            yield False
            return
        # Before anything is waited for: a session gets a lock that it has a second time too.
        self._held[shard] = asyncio.Event()
        held = False
        try:
            held = await self._get(shard)
            yield held
        finally:
            # Given back before another turn here may ask for it.
            await asyncio.shield(self._let_go(shard, held))

    async def rung(self, shard: Shard, seconds: float) -> bool:
        """Waits until somebody rings for a shard in hand, or that long; whether somebody did."""
        bell = self._held[shard]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), seconds)
        rung = bell.is_set()
        bell.clear()
        return rung

    async def listen(self, stop: asyncio.Event) -> None:
        """Passes on notifications until `stop` is set."""
        async with Listener(self._database, POOL_CHANNEL, heard=self._ring) as listener:
            while not stop.is_set():
                await listener.wait(1.0, stop)

    def _ring(self, payload: str) -> None:
        journey, _, number = payload.rpartition("/")
        bell = self._held.get((journey, int(number))) if number.isdigit() else None
        if bell is not None:
            bell.set()

    async def _get(self, shard: Shard) -> bool:
        async with self._lock:
            try:
                if self._connection is None:
                    connection = await self._database.connect()
                    # Locks of a session, not of a transaction: nothing is left open between two turns.
                    self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
                return await pool.try_shard(self._connection, *shard)
            except Exception:
                await self._drop()
                raise

    async def _let_go(self, shard: Shard, held: bool) -> None:
        try:
            if held:
                await self._give_back(shard)
        finally:
            del self._held[shard]

    async def _give_back(self, shard: Shard) -> None:
        async with self._lock:
            if self._connection is None:
                return
            try:
                await pool.give_back(self._connection, *shard)
            except Exception as error:
                log.warning("the connection that holds shards is gone: %s", type(error).__name__)
                await self._drop()

    async def _drop(self) -> None:
        """Closes the connection for good, and with it every lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.invalidate()
                await connection.close()
