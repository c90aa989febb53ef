"""Working off what providers called us with, beside the router. Wiring only."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from engine.delivery.callbacks import work_off
from engine.ingest.heeded import Heeded
from engine.store import heard
from engine.store.connection import AsyncEngine
from engine.store.listening import Listener
from engine.store.tables import HEARD_CHANNEL

log = logging.getLogger("kairos.callbacks")

LOOK: Final = 5.0
"""Seconds between two looks round, whatever was heard."""


async def run_heard(database: AsyncEngine, stop: asyncio.Event) -> None:
    """Works until `stop` is set. Any number of these may run side by side."""
    heeded = Heeded()
    async with Listener(database, HEARD_CHANNEL) as listener:
        while not stop.is_set():
            pause = LOOK
            try:
                while not stop.is_set() and (worked := await work_off(database, heeded)).taken:
                    if worked.parked:
                        log.warning("parked %d that cannot be worked off", worked.parked)
                async with database.connect() as connection:
                    due = await heard.seconds_until_due(connection)
                pause = LOOK if due is None else min(LOOK, max(due, 0.05))
            except Exception as error:  # the database restarts: what was heard waits there
                log.warning("what was heard waits: %s", type(error).__name__)
                pause = 2.0
            await listener.wait(pause, stop)
