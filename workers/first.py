"""First messages that have seconds, sent beside the router. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from engine.delivery import DeliveryPorts
from engine.delivery.first import First, hurried
from engine.language.installation import Installation
from engine.store.connection import AsyncEngine
from engine.store.listening import Listener
from engine.store.tables import STARTS_CHANNEL
from workers.channels import usable_channels
from workers.live import Live, LiveClock, open_adapters, registered

log = logging.getLogger("kairos.first")

LOOK: Final = 2.0
"""Seconds between two looks at the journeys, and at what came, whatever was heard."""


async def run_first(database: AsyncEngine, stop: asyncio.Event) -> None:
    """Sends until `stop` is set, and begins again when settings or journeys change.

    Only by channels whose settings this process has the variables of; the others' messages are the workflows'
    alone. Not on a scaled clock, where lag does not count.
    """
    live, clock = Live(database), LiveClock(database)
    while not stop.is_set():
        try:
            await clock.look()
            installation, journeys = await _wanted(live)
            if journeys and not clock.scaled:
                await _serve(database, stop, live, clock, installation, journeys)
                continue
        except Exception as error:  # the database restarts: the workflows send meanwhile
            log.warning("first messages are left to the workflows: %s", type(error).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)


async def _wanted(live: Live) -> tuple[Installation, dict[str, frozenset[str]]]:
    return await live.installation(), hurried(await live.open_plans())


async def _serve(
    database: AsyncEngine,
    stop: asyncio.Event,
    live: Live,
    clock: LiveClock,
    installation: Installation,
    journeys: dict[str, frozenset[str]],
) -> None:
    wanted = sorted(set().union(*journeys.values()))
    channels = await asyncio.to_thread(usable_channels, database, installation, wanted)
    async with contextlib.AsyncExitStack() as stack:
        worker_id = await stack.enter_async_context(registered(database, "first"))
        adapters = await stack.enter_async_context(open_adapters(database, installation, channels))
        listener = await stack.enter_async_context(Listener(database, STARTS_CHANNEL))
        ports = DeliveryPorts(
            database=database,
            adapters=adapters,
            project=live.project,
            plan=live.plan,
            worker_id=worker_id,
            clock=clock,
            channels_here=frozenset(channels),
        )
        first, looked = First(ports, journeys), asyncio.get_running_loop().time()
        log.info("first messages of %s: ready", ", ".join(sorted(journeys)))
        while not stop.is_set():
            if await first.send():
                continue
            if asyncio.get_running_loop().time() - looked > LOOK:
                looked = asyncio.get_running_loop().time()
                await clock.look()
                if clock.scaled or (installation, journeys) != await _wanted(live):
                    return
            await listener.wait(LOOK, stop)
