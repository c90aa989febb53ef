"""Telling other systems of changes, beside the router: who is told, by the settings that are applied now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from typing import Final

from channels import ConfigurationError
from channels.registry import check_settings
from channels.webhook import WebhookCaller, WebhookSettings
from engine.effects.telling import Receiver, close, tell
from engine.language.installation import Installation
from engine.store.connection import AsyncEngine
from workers.live import Live

log = logging.getLogger("kairos.webhooks")

LOOK: Final = 0.5
"""Seconds between two looks when there was nothing to tell."""


def receivers_of(
    installation: Installation, environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, Receiver], list[str]]:
    """Who is told, by name; and what is wrong with the settings of the others, who wait."""
    found, wrong = {}, []
    for each in installation.webhooks:
        given = {"url": each.url, "secret": each.secret}
        try:
            settings = check_settings(WebhookSettings, given, f"kairos.yaml: webhooks.{each.name}", environ)
        except ConfigurationError as error:
            wrong.append(str(error))
            continue
        assert isinstance(settings, WebhookSettings)
        caller = WebhookCaller(settings.secrets(), public=not each.allow_private)
        found[each.name] = Receiver(settings.url or "", caller)
    return found, wrong


async def run_telling(database: AsyncEngine, stop: asyncio.Event) -> None:
    """Tells until `stop` is set. Any number of these may run side by side."""
    live = Live(database)
    while not stop.is_set():
        try:
            installation = await live.installation()
            async with _open(installation) as receivers:
                while not stop.is_set() and installation == await live.installation():
                    if not await tell(database, receivers):
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(stop.wait(), LOOK)
        except Exception as error:  # the database restarts: what is to be told waits there
            log.warning("webhooks wait: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 2)


@contextlib.asynccontextmanager
async def _open(installation: Installation) -> AsyncIterator[dict[str, Receiver]]:
    receivers, wrong = receivers_of(installation)
    for each in wrong:
        log.error("what this webhook is to be told waits: %s", each)
    try:
        yield receivers
    finally:
        await close(list(receivers.values()))
