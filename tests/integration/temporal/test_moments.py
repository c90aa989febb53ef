"""Moments as operators see them: schedules that match what is live, and entries that come of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from temporalio.client import Client

from engine.ingest.operating import operate
from tests.integration.harness import POOL, kairos

START = datetime(2026, 11, 11, 10, tzinfo=UTC)
CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
profile: {birthday: date, points: number}
tags: [gold]
segments: {golden: has_tag("gold")}
"""
QUIET = """
journey: quiet
trigger: {quiet_for: 2h, since: order.paid}
steps:
  - {id: keep, update: {set: {points: trigger.total}}}
"""
FILES = {"journeys/catalog.yaml": CATALOGUE, "journeys/quiet.yaml": QUIET}


async def schedules(client: Client) -> set[str]:
    return {found.id async for found in await client.list_schedules()}


async def soon(look: Callable[[], Awaitable[bool]], what: str, seconds: float = 30) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await look():
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what}") from None


@pytest.mark.timeout(120)
async def test_quiet_customers_enter_by_a_schedule_that_follows_what_is_live(
    database_url: str, temporal_address: str
) -> None:
    parts = (*POOL, "moments")
    async with kairos(
        database_url, temporal_address, start=START, speed=1200, grace=2.0, parts=parts
    ) as running:
        await running.apply(FILES)
        await running.send(
            {
                "type": "track",
                "userId": "c1",
                "event": "order.paid",
                "messageId": "m1",
                "timestamp": running.clock.now().isoformat(),
                "properties": {"total": 7},
            }
        )
        async with running.database.connect() as connection:
            ordered_at = (await connection.execute(sa.text("SELECT occurred_at FROM events"))).scalar_one()
        (ended,) = await running.ended(1)
        assert ended.entered_at == ordered_at + timedelta(hours=2)
        assert "moments/quiet" in await schedules(running.client)
        await running.client.get_schedule_handle("moments/quiet").delete()
        await running.apply({**FILES, "kairos.yaml": "locale: en\n"})

        async def back() -> bool:
            return "moments/quiet" in await schedules(running.client)

        await soon(back, "a schedule that somebody deleted to come back")
        await operate(running.database, "quiet", "archive")

        async def gone() -> bool:
            return "moments/quiet" not in await schedules(running.client)

        await soon(gone, "the schedule to be deleted")
