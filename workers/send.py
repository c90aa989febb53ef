"""Send workers: one queue for each channel, so that a provider that is down holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from engine.delivery import DeliveryPorts, sweep
from engine.effects.ports import EffectPorts
from engine.store.connection import AsyncEngine
from engine.temporal.activities import EffectActivities, SendActivities
from engine.temporal.queues import channel_queue
from workers import webhooks
from workers.channels import WEBHOOK, serve_all
from workers.garbage import collect_less
from workers.live import Live, LiveClock, open_adapters, registered

log = logging.getLogger("kairos.worker.send")
AT_ONCE = 100
SWEEP = 60.0


async def run_send(
    database: AsyncEngine, client: Client, stop: asyncio.Event, channels: Sequence[str]
) -> None:
    """Serves the queues of these channels until `stop` is set.

    Raises:
        channels.ConfigurationError: an adapter's settings are wrong; nothing was sent.
    """
    collect_less()
    live, clock = Live(database), LiveClock(database)
    await clock.look()
    installation = await live.installation()
    async with contextlib.AsyncExitStack() as stack:
        worker_id = await stack.enter_async_context(registered(database, "send"))
        adapters = await stack.enter_async_context(open_adapters(database, installation, channels))
        ports = DeliveryPorts(
            database=database,
            adapters=adapters,
            project=live.project,
            plan=live.plan,
            worker_id=worker_id,
            clock=clock,
            channels_here=frozenset(channels),
        )
        sending = SendActivities(ports)
        for channel in channels:
            activities: list[Any] = [sending.send]
            if channel == WEBHOOK:
                caller = webhooks.caller(installation)
                stack.push_async_callback(caller.close)
                performing = EffectActivities(
                    EffectPorts(
                        database=database,
                        project=live.project,
                        plan=live.plan,
                        worker_id=worker_id,
                        clock=clock,
                        adapters=adapters,
                        webhooks=caller,
                    )
                )
                activities.append(performing.perform)
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=channel_queue(channel),
                    activities=activities,
                    max_concurrent_activities=AT_ONCE,
                    graceful_shutdown_timeout=timedelta(seconds=10),
                )
            )
            log.info("send %s: ready, by %s", channel, installation.channel(channel).adapter)
        background = [asyncio.create_task(clock.follow()), asyncio.create_task(_sweep(ports))]
        try:
            await stop.wait()
        finally:
            for task in background:
                task.cancel()


async def _sweep(ports: DeliveryPorts) -> None:
    """Settles, now and then, what workers that died left behind and nobody asks for again."""
    while True:
        await asyncio.sleep(SWEEP)
        try:
            settled = await sweep(ports)
        except Exception as error:  # the database restarts, or nothing is applied yet
            log.warning("leftovers could not be looked at: %s", type(error).__name__)
        else:
            if settled:
                log.info("settled %d deliveries that a dead worker left behind", settled)


async def run_all_sends(database: AsyncEngine, client: Client, stop: asyncio.Event) -> None:
    """Serves every channel in use in this process, and begins again when an apply changes the settings."""

    async def serve(over: asyncio.Event, channels: Sequence[str]) -> None:
        await run_send(database, client, over, channels)

    await serve_all(database, stop, serve)
