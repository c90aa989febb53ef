"""Everything in one process: Temporal with its UI, PostgreSQL, API, router, journeys, sends, pool."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from engine.pool.waker import Waker
from engine.store.connection import AsyncEngine
from engine.store.database import check, open_database, upgrade
from engine.store.embedded import EmbeddedPostgres, data_folder, ensure
from engine.temporal.client import TemporalRunner, TemporalStarter, connect
from engine.temporal.local import FOLDER, PORT
from engine.temporal.server import UI_PORT, RunningServer, port_near, start_server
from workers.api import run_api
from workers.journeys import run_journeys
from workers.moments import run_moments
from workers.pool import run_pool
from workers.router import run_router
from workers.send import run_all_sends
from workers.webhooks import ALLOW_PRIVATE

log = logging.getLogger("kairos.dev")
API_PORT = 8000
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """What runs, and where."""

    database: AsyncEngine
    temporal: RunningServer
    client: Client


@contextlib.asynccontextmanager
async def servers(
    say: Say, *, database_url: str | None = None, folder: Path | None = None
) -> AsyncIterator[Servers]:
    """PostgreSQL, migrated, and Temporal, both stopped at the end if they were started here."""
    home = folder or data_folder()
    embedded: EmbeddedPostgres | None = None
    if database_url is None:
        embedded = EmbeddedPostgres(folder)
        say("PostgreSQL: starting")
        database_url = await asyncio.to_thread(ensure, folder=folder)
    database = open_database(database_url, pool_size=30)
    try:
        await check(database)
        await upgrade(database)
        say("PostgreSQL: ready, tables up to date")
        temporal = await start_server(
            home / FOLDER, port=port_near(PORT), ui_port=port_near(UI_PORT), say=say
        )
        try:
            client = await connect(temporal.address)
            say(f"Temporal: ready at {temporal.address}")
            yield Servers(database, temporal, client)
        finally:
            await asyncio.to_thread(temporal.stop)
    finally:
        await database.dispose()
        if embedded is not None:
            await asyncio.to_thread(embedded.release)


async def run_workers(
    found: Servers,
    stop: asyncio.Event,
    *,
    host: str = "127.0.0.1",
    port: int = API_PORT,
    project: Path | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """API, router, moments, journeys, sends and the pool until `stop` is set; one that fails ends all.

    `ready` is told the API's address once it takes requests.
    """
    # On somebody's own machine the systems that journeys call run there too.
    os.environ.setdefault(ALLOW_PRIVATE, "1")
    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_api(
                found.database,
                host,
                port,
                temporal_ui=found.temporal.ui_url,
                open_pages=True,
                stop=stop,
                ready=ready,
            )
        )
        group.create_task(
            run_router(
                found.database,
                TemporalStarter(found.client),
                runner=TemporalRunner(found.client),
                waker=Waker(found.database, found.client),
                stop=stop,
            )
        )
        group.create_task(run_moments(found.database, found.client, stop))
        group.create_task(run_journeys(found.database, found.client, stop, project))
        group.create_task(run_all_sends(found.database, found.client, stop))
        group.create_task(run_pool(found.database, found.client, stop, project))
