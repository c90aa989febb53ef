from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.pool.shop import FILES, START
from tests.integration.pool.virtual import Virtual, virtual


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Virtual]:
    """A shop on the clock of real time, moved by hand: see `tests.integration.pool.shop`."""
    async with virtual(database_url, FILES, START) as running:
        yield running
