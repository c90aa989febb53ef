"""What a worker process keeps of what is applied: the live project, plans by digest, open adapters.

The project is looked at again when its digest has changed, at most once every `FRESH` seconds, so that new
templates and settings count within moments; a plan never changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import uuid4

from channels import Adapter, ConfigurationError, Message
from channels.registry import create
from channels.routing import Route, Routing, Rule
from engine.core.codec import plan_from_json
from engine.core.plan import Plan
from engine.delivery.live_project import of_stored
from engine.delivery.ports import LiveProject
from engine.language.installation import ChannelSettings, Installation
from engine.store import clock, enrolments, outbox, plans, project
from engine.store.connection import AsyncEngine
from engine.store.outbox import OutboxMessage
from engine.store.workers import gone, seen
from engine.temporal.registry import PLANS, Registry
from workers.links import address_mistakes, with_address
from workers.tokens import DatabaseTokens

log = logging.getLogger("kairos.worker")
FRESH: Final = 1.0
HEARTBEAT: Final = 5.0


class NothingApplied(Exception):
    """There is no live project in the database yet."""


class Live:
    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._project: LiveProject | None = None
        self._digest: str | None = None
        self._looked_at = 0.0
        self._plans: dict[str, Plan] = {}
        self._lock = asyncio.Lock()

    async def project(self) -> LiveProject:
        """The project as last applied.

        Raises:
            NothingApplied: `kairos apply` was never run on this database.
        """
        if self._project is not None and time.monotonic() - self._looked_at < FRESH:
            return self._project
        async with self._lock:
            return await self._look()

    async def _look(self) -> LiveProject:
        async with self._database.connect() as connection:
            digest = await project.load_digest(connection)
            if self._project is None or digest != self._digest:
                stored = await project.load(connection)
                if stored is None:
                    raise NothingApplied("nothing is applied yet; run `kairos apply` in the project's folder")
                applied = of_stored(stored)
                self._project = replace(applied, installation=with_address(applied.installation))
                self._digest = digest
        self._looked_at = time.monotonic()
        return self._project

    async def installation(self) -> Installation:
        """That of the applied project; the defaults before the first apply."""
        try:
            return (await self.project()).installation
        except NothingApplied:
            return Installation()

    async def plan(self, digest: str) -> Plan:
        """The plan of that digest.

        Raises:
            KeyError: it is in no table.
        """
        if digest not in self._plans:
            await self._fetch([digest])
        return self._plans[digest]

    async def _fetch(self, digests: Iterable[str]) -> None:
        async with self._database.connect() as connection:
            found = await plans.by_digest(connection, digests)
        self._plans |= {digest: plan_from_json(plan) for digest, plan in found.items()}

    async def open_plans(self) -> list[Plan]:
        """Plans that enrolments follow or that new entrants get."""
        async with self._database.connect() as connection:
            live = await plans.live(connection)
            under_way = await enrolments.counts_by_digest(connection, live)
        digests = {digest for digest, _ in live.values()} | {d for of in under_way.values() for d in of}
        await self._fetch(digests - self._plans.keys())
        return [self._plans[digest] for digest in sorted(digests) if digest in self._plans]

    async def fill(self, registry: Registry = PLANS) -> None:
        """Keeps the registry of workflow code filled: the live plans, and whatever it wanted and had not."""
        while True:
            try:
                async with self._database.connect() as connection:
                    live = await plans.live(connection)
                missing = ({digest for digest, _ in live.values()} | registry.wanted()) - registry.known()
                if missing:
                    await self._fetch(missing - self._plans.keys())
                for digest in missing & self._plans.keys():
                    registry.add(digest, self._plans[digest])
            except Exception as error:  # the database restarts: workflow tasks wait meanwhile
                log.warning("plans cannot be read: %s", type(error).__name__)
            await asyncio.sleep(0.2 if registry.wanted() else FRESH)


class LiveClock:
    """The clock of the database, looked at again every second: a demo may set it under running workers."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._clock = clock.REAL_TIME

    @property
    def scaled(self) -> bool:
        return self._clock.scaled

    def now(self) -> datetime:
        return self._clock.now()

    async def look(self) -> None:
        async with self._database.connect() as connection:
            self._clock = await clock.load(connection)

    async def follow(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            with contextlib.suppress(Exception):  # a database that restarts keeps its clock
                await self.look()
            await asyncio.sleep(FRESH)


class OutboxSink:
    """Where the `outbox` adapter keeps its messages: the database."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def __call__(self, messages: list[Message]) -> None:
        kept = [
            OutboxMessage(
                key=message.key,
                channel=message.channel,
                address=message.address,
                parts=dict(message.parts),
                template=message.template,
                enrolment_id=message.enrolment_id,
                step=message.step,
                at=message.at,
            )
            for message in messages
        ]
        async with self._database.begin() as connection:
            await outbox.keep_batch(connection, kept)


def build_adapter(database: AsyncEngine, channel: str, settings: ChannelSettings) -> Adapter:
    """The adapter of one channel, its settings checked, nothing opened.

    Raises:
        ConfigurationError: says the place in kairos.yaml and what to do.
    """
    # Its rate holds for all workers together, so delivery keeps it, not the adapter.
    sink, tokens = OutboxSink(database), DatabaseTokens(database)
    if not settings.routes:
        adapter = create(settings.adapter, channel, settings.settings, sink, tokens=tokens)
        _check_quotas(channel, settings, [adapter])
        return adapter
    routes, mistakes = [], []
    for each in settings.routes:
        rule = Rule(each.locales, each.regions, each.share, each.cost)
        place = f"channels.{channel}.routes.{each.name}"
        try:
            adapter = create(each.adapter, channel, each.settings, sink, tokens=tokens, place=place)
        except ConfigurationError as error:
            mistakes.append(str(error))
        else:
            routes.append(Route(each.name, adapter, rule))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    _check_quotas(channel, settings, [route.adapter for route in routes])
    return Routing(channel, routes)


def _check_quotas(channel: str, settings: ChannelSettings, adapters: Sequence[Adapter]) -> None:
    """Refuses quotas of kinds that no message draws on; with `outbox` none count, whatever is written."""
    if any(adapter.name == "outbox" for adapter in adapters):
        return
    known = sorted({kind for adapter in adapters for kind in adapter.quotas})
    for kind in settings.quotas:
        if kind not in known:
            place = f"kairos.yaml: channels.{channel}.quotas.{kind}"
            raise ConfigurationError(f"{place}: no such kind (there are: {', '.join(known) or 'none'})")


@contextlib.asynccontextmanager
async def open_adapters(
    database: AsyncEngine, installation: Installation, channels: Sequence[str]
) -> AsyncIterator[Mapping[str, Adapter]]:
    """Open adapters for these channels, closed at the end. All mistakes are reported before one is opened."""
    built, mistakes = {}, address_mistakes(installation)
    for channel in channels:
        try:
            built[channel] = build_adapter(database, channel, installation.channel(channel))
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    async with contextlib.AsyncExitStack() as stack:
        for adapter in built.values():
            await adapter.open()
            stack.push_async_callback(adapter.close)
        yield built


@contextlib.asynccontextmanager
async def registered(database: AsyncEngine, kind: str) -> AsyncIterator[str]:
    """This process's id among the workers, kept alive by a heartbeat and given back at the end."""
    worker_id = f"{kind}-{uuid4().hex[:12]}"

    async def beat() -> None:
        while True:
            try:
                async with database.begin() as connection:
                    await seen(connection, worker_id, kind)
            except Exception as error:  # a database that restarts must not end the worker
                log.warning("heartbeat failed: %s", type(error).__name__)
            await asyncio.sleep(HEARTBEAT)

    async with database.begin() as connection:
        await seen(connection, worker_id, kind)
    task = asyncio.create_task(beat())
    try:
        yield worker_id
    finally:
        task.cancel()
        with contextlib.suppress(Exception):
            async with database.begin() as connection:
                await gone(connection, worker_id)
