"""Keeping advertising audiences, beside the router: whatever waits, by the settings that are applied now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from channels import AudienceAdapter, ConfigurationError
from channels.audiences import create
from engine.effects.audience import Keeper, work_off
from engine.language.installation import Installation
from engine.store.connection import AsyncEngine
from workers.live import Live, LiveClock, registered

log = logging.getLogger("kairos.audiences")

LOOK: Final = 2.0
"""Seconds between two looks at an audience that had nothing to do: what comes meanwhile goes together."""


def adapters_of(
    installation: Installation, environ: Mapping[str, str] = os.environ
) -> tuple[list[AudienceAdapter], list[str]]:
    """The adapters of the audiences; and what is wrong with the settings of the others, which wait."""
    found, wrong = [], []
    for name, audience in sorted(installation.audiences.items()):
        try:
            found.append(create(audience.adapter, name, audience.settings, environ))
        except ConfigurationError as error:
            wrong.append(str(error))
    return found, wrong


async def run_audiences(database: AsyncEngine, stop: asyncio.Event) -> None:
    """Keeps audiences until `stop` is set. Any number of these may run side by side."""
    live, clock = Live(database), LiveClock(database)
    while not stop.is_set():
        try:
            installation = await live.installation()
            if not installation.audiences:
                await _pause(stop)
                continue
            async with registered(database, "audiences") as owner, _open(installation) as adapters:
                while not stop.is_set() and installation == await live.installation():
                    await clock.look()
                    keeper = Keeper(database, owner, installation.consent["marketing"], clock)
                    if not any(await asyncio.gather(*(work_off(keeper, each) for each in adapters))):
                        await _pause(stop)
        except Exception as error:  # the database restarts: what is to be made waits there
            log.warning("audiences wait: %s", type(error).__name__)
            await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), LOOK)


@contextlib.asynccontextmanager
async def _open(installation: Installation) -> AsyncIterator[Sequence[AudienceAdapter]]:
    adapters, wrong = adapters_of(installation)
    for each in wrong:
        log.error("the changes of this audience wait: %s", each)
    async with contextlib.AsyncExitStack() as stack:
        for adapter in adapters:
            await stack.enter_async_context(adapter)
        yield adapters
