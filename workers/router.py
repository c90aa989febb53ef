"""The router's process: routes events, plays the outbox, and looks after what was lost. Wiring only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from engine.ingest.erasure import erase_leftovers
from engine.ingest.reconcile import Runner, reconcile
from engine.ingest.router import Router
from engine.ingest.starts import AT_ONCE, Player, Starter
from engine.pool.waker import Waker
from engine.store import audiences, clock, heard, jobs, starts, webhooks
from engine.store.connection import AsyncEngine
from workers.audiences import run_audiences
from workers.first import run_first
from workers.garbage import collect_less
from workers.heard import run_heard
from workers.jobs import run_jobs
from workers.telling import run_telling

log = logging.getLogger("kairos.router")

RECONCILE: Final = timedelta(minutes=1)
TIDY: Final = timedelta(hours=1)
KEPT: Final = timedelta(days=7)
"""How long played rows of ended enrolments are kept, for people who look into what happened."""
KEPT_FAILED: Final = timedelta(days=30)
"""How long it is kept what a webhook was not told, and what of an import was left out."""
KEPT_FILES: Final = timedelta(days=1)
"""How long an export can be fetched."""


async def run_router(
    database: AsyncEngine,
    starter: Starter,
    *,
    runner: Runner | None = None,
    waker: Waker | None = None,
    stop: asyncio.Event | None = None,
    at_once: int = AT_ONCE,
) -> None:
    """Runs until `stop` is set or the task is cancelled. Any number of these may run side by side.

    Without a `runner` nothing is compared with what really runs; without a `waker` nobody works in the pool.
    """
    collect_less()
    stop = stop or asyncio.Event()
    log.info("router: ready")
    async with asyncio.TaskGroup() as group:
        group.create_task(Router(database).run(stop), name="router")
        group.create_task(Player(database, starter, at_once).run(stop), name="starts")
        group.create_task(_every(TIDY, stop, lambda: _tidy(database)), name="tidy")
        group.create_task(run_telling(database, stop), name="webhooks")
        group.create_task(run_audiences(database, stop), name="audiences")
        group.create_task(run_jobs(database, stop), name="jobs")
        group.create_task(run_heard(database, stop), name="heard")
        group.create_task(run_first(database, stop), name="first")
        if waker is not None:
            group.create_task(waker.run(stop), name="waker")
        if runner is not None:
            group.create_task(_every(RECONCILE, stop, lambda: _reconcile(database, runner)), name="reconcile")


async def _reconcile(database: AsyncEngine, runner: Runner) -> None:
    async with database.connect() as connection:
        now = (await clock.load(connection)).now()
    await reconcile(database, runner, now)


async def _tidy(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await starts.forget_done(connection, KEPT)
        await webhooks.forget_failed(connection, KEPT_FAILED)
        await audiences.forget_settled(connection, KEPT_FAILED)
        await jobs.forget_old(connection, KEPT_FILES, KEPT_FAILED)
        await heard.forget_parked(connection, KEPT)
    await erase_leftovers(database)


async def _every(pause: timedelta, stop: asyncio.Event, work: Callable[[], Awaitable[object]]) -> None:
    while not stop.is_set():
        try:
            await work()
        except Exception as error:  # the database or Temporal is away for a while
            log.warning("housekeeping failed and is tried again: %s", type(error).__name__)
        try:
            await asyncio.wait_for(stop.wait(), pause.total_seconds())
        except TimeoutError:
            continue
