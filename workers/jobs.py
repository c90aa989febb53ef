"""Working off imports and exports that were asked for over the API, beside the router."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from engine.ingest.jobs import work_off
from engine.store import jobs
from engine.store.connection import AsyncEngine
from engine.store.listening import Listener
from engine.store.tables import JOBS_CHANNEL

log = logging.getLogger("kairos.jobs")

LOOK: Final = 10.0
"""Seconds between two looks round, whatever was heard."""


async def run_jobs(database: AsyncEngine, stop: asyncio.Event) -> None:
    """Works until `stop` is set. A job that is cut off is taken up again, by this worker or another."""
    async with Listener(database, JOBS_CHANNEL) as listener:
        while not stop.is_set():
            try:
                async with database.connect() as connection:
                    waiting = await jobs.to_do(connection)
                for job_id in waiting:
                    await _one(database, job_id, stop)
            except Exception as error:  # the database restarts
                log.warning("jobs wait: %s", type(error).__name__)
            await listener.wait(LOOK, stop)


async def _one(database: AsyncEngine, job_id: str, stop: asyncio.Event) -> None:
    work = asyncio.create_task(work_off(database, job_id))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        work.cancel()  # what is committed stays; it goes on there
    try:
        await work
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    except Exception as error:
        log.warning("a job was cut off and is tried again: %s", type(error).__name__)
