"""The journeys' worker: workflow tasks, answers, closes, and every effect but webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from temporalio.client import Client

from engine.delivery.ports import DeliveryPorts
from engine.effects.ports import EffectPorts
from engine.sdk.discovery import discover
from engine.store.connection import AsyncEngine
from engine.temporal.activities import EffectActivities, JourneyActivities
from engine.temporal.worker import journeys_worker
from workers import webhooks
from workers.garbage import collect_less
from workers.live import Live, LiveClock, registered

log = logging.getLogger("kairos.worker.journeys")


async def run_journeys(
    database: AsyncEngine, client: Client, stop: asyncio.Event, project: Path | None = None
) -> None:
    """Runs until `stop` is set. `project` is the folder whose `actions/` are steps, if there is one."""
    collect_less()
    live, clock = Live(database), LiveClock(database)
    await clock.look()
    async with registered(database, "journeys") as worker_id:
        delivery = DeliveryPorts(
            database=database,
            adapters={},
            project=live.project,
            plan=live.plan,
            worker_id=worker_id,
            clock=clock,
            channels_here=frozenset(),
        )
        effects = EffectPorts(
            database=database,
            project=live.project,
            plan=live.plan,
            worker_id=worker_id,
            clock=clock,
            adapters={},
            webhooks=webhooks.caller(await live.installation()),
            actions=discover(project),
        )
        journeys, performing = JourneyActivities(delivery), EffectActivities(effects)
        worker = journeys_worker(
            client, [journeys.ask, journeys.close, journeys.catch_up, performing.perform]
        )
        background = [asyncio.create_task(live.fill()), asyncio.create_task(clock.follow())]
        log.info("journeys: ready")
        try:
            async with worker:
                await stop.wait()
        finally:
            for task in background:
                task.cancel()
            await effects.webhooks.close()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*background)
