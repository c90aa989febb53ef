from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import keys
from engine.store.database import open_database
from workers.api import run_api

WRITE_KEY = "kairos_ingest_test"
READ_KEY = "kairos_read_test"
MANAGE_KEY = "kairos_manage_test"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A fresh, migrated database with one key of each scope."""
    engine = open_database(database_url)
    async with engine.begin() as connection:
        await keys.create(connection, "shop", "ingest", token=WRITE_KEY)
        await keys.create(connection, "looker", "read", token=READ_KEY)
        await keys.create(connection, "operator", "manage", token=MANAGE_KEY)
    yield engine
    await engine.dispose()


@pytest.fixture
async def address(database: AsyncEngine) -> AsyncIterator[str]:
    """Address of a served API."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_api(database, port=0, stop=stop, ready=ready.set_result))
    try:
        yield await asyncio.wait_for(ready, 20)
    finally:
        stop.set()
        await asyncio.wait_for(serving, 20)


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends events as the shop."""
    async with httpx.AsyncClient(base_url=address, auth=(WRITE_KEY, ""), timeout=20) as client:
        yield client
