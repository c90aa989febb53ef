"""Moments, beside the router: a schedule for each journey whose entries come with time. Wiring only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from temporalio.client import Client

from engine.core import describe
from engine.ingest.moments import Ticker
from engine.store.connection import AsyncEngine
from engine.temporal.periodic import Job, Jobs, Periodic

log = logging.getLogger("kairos.moments")


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


async def run_moments(
    database: AsyncEngine, client: Client, stop: asyncio.Event, others: Sequence[Jobs] = ()
) -> None:
    """Keeps the schedules and does what they say until `stop` is set. `others` are jobs beside moments."""
    log.info("moments: ready")
    await Periodic(database, client, [moments_of(database), *others]).run(stop)
