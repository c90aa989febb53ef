"""Waiting for `NOTIFY`: a hint that something changed, never the truth about what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)


class Listener:
    """Holds one connection that listens on `channels`, and opens it again when it breaks."""

    def __init__(
        self, engine: AsyncEngine, *channels: str, heard: Callable[[str], None] | None = None
    ) -> None:
        """`heard` is told the payload of each notification as it comes."""
        self._engine = engine
        self._channels = channels
        self._heard = heard
        self._connection: AsyncConnection | None = None
        self._woken = asyncio.Event()
        self._broken = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def wait(self, seconds: float, stop: asyncio.Event | None = None) -> bool:
        """Waits for a notification, `stop`, or that long; returns whether a notification came.

        One that came since the last wait counts: nothing falls between two waits.
        """
        if self._broken:
            await self._close()
        if self._connection is None:
            await self._open()
        waiting = [asyncio.ensure_future(self._woken.wait())]
        if stop is not None:
            waiting.append(asyncio.ensure_future(stop.wait()))
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    async def _open(self) -> None:
        try:
            self._connection = await self._engine.connect()
            # LISTEN outlives a transaction only on a connection that does not roll back.
            await self._connection.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = (await self._connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(self._lost)
            for channel in self._channels:
                await driver.add_listener(channel, self._notified)
        except Exception as error:
            log.warning("cannot listen for notifications (%s); polling until it works", type(error).__name__)
            await self._close()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._broken = False
        if connection is None:
            return
        try:
            await connection.invalidate()  # listeners must not go back to the pool
            await connection.close()
        except Exception:
            log.debug("closing a connection that is gone already", exc_info=True)

    def _notified(self, connection: object, sender: int, channel: str, payload: object) -> None:
        if self._heard is not None:
            self._heard(str(payload))
        self._woken.set()

    def _lost(self, *_: object) -> None:
        self._broken = True
        self._woken.set()
