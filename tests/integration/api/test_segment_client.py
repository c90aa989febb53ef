"""The real `segment-analytics-python`, unchanged but for its host."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from segment.analytics.client import Client  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.api.conftest import WRITE_KEY


@pytest.mark.parametrize("gzip", [False, True])
async def test_the_real_client_delivers_everything(address: str, database: AsyncEngine, gzip: bool) -> None:
    mistakes: list[object] = []
    at = datetime.now(UTC) - timedelta(hours=1)

    def send() -> None:
        client = Client(
            WRITE_KEY, host=address, gzip=gzip, on_error=lambda error, batch: mistakes.append(error)
        )
        client.identify("c-17", {"email": "ada@example.com", "plan": "gold"})
        for number in range(250):
            client.track("c-17", "cart.updated", {"cart_id": f"k{number}"}, timestamp=at)
        client.alias("visitor-9", "c-17")
        client.group("c-17", "club", {"title": "The club"})
        client.page("c-17", "shop", "Home", {"url": "https://shop.example/"})
        client.screen("c-17", "shop", "Home")
        client.flush()
        client.join()

    await asyncio.wait_for(asyncio.to_thread(send), 60)
    assert mistakes == []
    async with database.connect() as connection:
        result = await connection.execute(
            text("SELECT name, count(*) AS n, max(occurred_at) AS at FROM events GROUP BY name")
        )
        kept = {row.name: (row.n, row.at) for row in result}
        profile = (await connection.execute(text("SELECT * FROM profiles WHERE external_id = 'c-17'"))).one()
    assert {name: number for name, (number, _) in kept.items()} == {
        "profile.identified": 1,
        "cart.updated": 250,
        "profile.aliased": 1,
        "group.joined": 1,
        "page.viewed": 1,
        "screen.viewed": 1,
    }
    assert abs(kept["cart.updated"][1] - at) < timedelta(minutes=1)
    assert profile.addresses["email"] == "ada@example.com"
    assert profile.attributes == {"plan": "gold"}


async def test_the_real_client_is_told_about_a_wrong_key(address: str) -> None:
    mistakes: list[Exception] = []

    def send() -> None:
        client = Client("unknown", host=address, on_error=lambda error, batch: mistakes.append(error))
        client.track("c-17", "cart.updated")
        client.flush()
        client.join()

    await asyncio.wait_for(asyncio.to_thread(send), 60)
    assert "kairos keys" in str(mistakes[0])
    assert "401" in str(mistakes[0])
