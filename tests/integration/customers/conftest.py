from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store.database import open_database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A fresh, migrated database."""
    engine = open_database(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(database: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """An open transaction in a fresh database."""
    async with database.begin() as connection:
        yield connection
