"""The pool's worker: turns at the shards of every journey that runs as rows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client

from engine.effects.ports import EffectPorts
from engine.ingest.crowds import Crowds
from engine.pool.activities import PoolActivities
from engine.pool.crowd import CrowdActivities
from engine.pool.ports import PoolPorts
from engine.pool.shards import Shards
from engine.pool.worker import pool_worker
from engine.sdk.discovery import discover
from engine.store.connection import AsyncEngine
from workers import webhooks
from workers.channels import serve_all
from workers.garbage import collect_less
from workers.live import Live, LiveClock, open_adapters, registered

log = logging.getLogger("kairos.worker.pool")


async def run_pool(
    database: AsyncEngine, client: Client, stop: asyncio.Event, project: Path | None = None
) -> None:
    """Serves the pool until `stop` is set, and begins again when an apply changes the settings.

    `project` is the folder whose `actions/` are steps, if there is one.
    """

    async def serve(over: asyncio.Event, channels: Sequence[str]) -> None:
        await _serve(database, client, over, channels, project)

    await serve_all(database, stop, serve)


async def _serve(
    database: AsyncEngine,
    client: Client,
    stop: asyncio.Event,
    channels: Sequence[str],
    project: Path | None,
) -> None:
    collect_less()
    live, clock = Live(database), LiveClock(database)
    await clock.look()
    installation = await live.installation()
    async with contextlib.AsyncExitStack() as stack:
        worker_id = await stack.enter_async_context(registered(database, "pool"))
        adapters = await stack.enter_async_context(open_adapters(database, installation, channels))
        caller = webhooks.caller(installation)
        stack.push_async_callback(caller.close)
        work = EffectPorts(
            database=database,
            project=live.project,
            plan=live.plan,
            worker_id=worker_id,
            clock=clock,
            adapters=adapters,
            webhooks=caller,
            actions=discover(project),
            patience=timedelta(0),
        )
        shards = await stack.enter_async_context(Shards(database))
        crowds = CrowdActivities(Crowds(database))
        worker = pool_worker(client, PoolActivities(PoolPorts(work=work), shards), crowds)
        background = [asyncio.create_task(clock.follow()), asyncio.create_task(shards.listen(stop))]
        log.info("pool: ready")
        try:
            async with worker:
                await stop.wait()
        finally:
            for task in background:
                task.cancel()
