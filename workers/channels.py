"""Serving every channel in use, and beginning again when an apply changes their settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from channels import ConfigurationError
from engine.core.plan import Effect, Message, Plan
from engine.language.installation import Installation
from engine.store.connection import AsyncEngine
from workers.live import Live, build_adapter

log = logging.getLogger("kairos.worker.send")

WEBHOOK: Final = "webhook"
LOOK: Final = 2.0
"""Seconds between two looks at the settings."""


def channels_in_use(installation: Installation, plans: Sequence[Plan]) -> list[str]:
    """Channels of kairos.yaml and of these plans, and `webhook`, which steps may call."""
    found = {WEBHOOK, *installation.channels}
    for plan in plans:
        for step in plan.steps.values():
            if isinstance(step, Message):
                found.update(step.channels)
            elif isinstance(step, Effect) and step.verb == WEBHOOK:
                found.add(WEBHOOK)
    return sorted(found)


async def serve_all(
    database: AsyncEngine,
    stop: asyncio.Event,
    serve: Callable[[asyncio.Event, Sequence[str]], Awaitable[None]],
) -> None:
    """Runs `serve` with every channel in use, until `stop` is set, and anew when settings or channels change.

    `serve` is given an event that says when it is over. Enrolments under way may still send by channels of
    older plans, so those count too. The messages of a channel whose settings are wrong wait until an apply
    has put them right.
    """
    while not stop.is_set():
        installation, channels = await _wanted(database)
        over = asyncio.Event()
        usable = usable_channels(database, installation, channels)
        task = asyncio.ensure_future(serve(over, usable))
        try:
            while not stop.is_set() and not task.done():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK)
                try:
                    if (installation, channels) != await _wanted(database):
                        break
                except Exception as error:  # the database restarts
                    log.warning("settings cannot be read: %s", type(error).__name__)
        finally:
            over.set()
            await task


def usable_channels(database: AsyncEngine, installation: Installation, channels: Sequence[str]) -> list[str]:
    """The channels whose adapters can be made; what is wrong with the others is logged."""
    usable = []
    for channel in channels:
        try:
            build_adapter(database, channel, installation.channel(channel))
        except ConfigurationError as error:
            log.error("send %s: not sending, its messages wait: %s", channel, error)
        else:
            usable.append(channel)
    return usable


async def _wanted(database: AsyncEngine) -> tuple[Installation, list[str]]:
    live = Live(database)
    installation = await live.installation()
    return installation, channels_in_use(installation, await live.open_plans())
