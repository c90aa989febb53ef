"""Schedules, beside the router: of journeys whose entries come with time, and of upkeep. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from temporalio.client import Client

from engine.core import describe
from engine.ingest.moments import Ticker
from engine.store.connection import AsyncEngine
from engine.store.listening import Listener
from engine.store.tables import PROJECT_CHANNEL
from engine.temporal.periodic import Job, Jobs, Periodic
from workers.upkeep import upkeep_of

log = logging.getLogger("kairos.moments")
LOOK: Final = 600.0
"""Seconds between two looks at the indexes, when nothing is applied."""


def moments_of(database: AsyncEngine) -> Jobs:
    """A job for each journey that is to be looked at."""
    ticker = Ticker(database)

    async def jobs() -> list[Job]:
        found = []
        for journey, every in await ticker.watched():

            async def run(name: str = journey.name) -> str:
                return (await ticker.tick(name)).in_words()

            about = f"{journey.name}: {describe.trigger(journey.plan.trigger)}"
            found.append(Job(f"moments/{journey.name}", every, run, about))
        return found

    return jobs


async def run_moments(database: AsyncEngine, client: Client, stop: asyncio.Event) -> None:
    """Keeps the schedules, of moments and of upkeep, and does what they say until `stop` is set."""
    log.info("moments: ready")
    building = asyncio.create_task(_speed_up(database, stop))
    try:
        await Periodic(database, client, [moments_of(database), upkeep_of(database)]).run(stop)
    finally:
        building.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await building


async def _speed_up(database: AsyncEngine, stop: asyncio.Event) -> None:
    """Keeps the indexes that journeys need until `stop` is set. Without them it only takes longer."""
    ticker = Ticker(database)
    async with Listener(database, PROJECT_CHANNEL) as listener:
        while not stop.is_set():
            try:
                made, dropped = await ticker.speed_up()
                if made or dropped:
                    log.info("moments: %d indexes built, %d dropped", made, dropped)
            except Exception as error:  # the database is away for a while
                log.warning("indexes cannot be kept and are tried again: %s", type(error).__name__)
            await listener.wait(LOOK, stop)
