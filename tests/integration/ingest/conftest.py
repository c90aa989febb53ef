from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.store.database import open_database
from tests.integration.ingest.world import World


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    database = open_database(database_url)
    yield World(database)
    await database.dispose()
