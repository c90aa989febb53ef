"""A channel's pace, shared by every worker."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import paces
from engine.store.paces import Share

pytestmark = pytest.mark.integration
NONE, LONG = timedelta(0), timedelta(hours=1)
RATE = 0.01
"""One in a hundred seconds: nothing is refilled while a test runs."""


async def reserve(database: AsyncEngine, wanted: int, patience: timedelta, rate: float = RATE) -> Share:
    async with database.begin() as connection:
        return await paces.reserve(connection, "sms", rate, wanted, patience)


async def test_a_second_s_worth_goes_at_once_and_the_rest_is_left(database: AsyncEngine) -> None:
    share = await reserve(database, 50, NONE, rate=20.0)
    assert share.granted in range(20, 23)
    assert (await reserve(database, 50, NONE, rate=20.0)).granted < 20


async def test_who_can_wait_gets_a_place_in_the_queue_and_leaves_none_to_a_crowd(
    database: AsyncEngine,
) -> None:
    assert (await reserve(database, 5, NONE)).granted == 1
    first = await reserve(database, 1, LONG)
    second = await reserve(database, 1, LONG)
    assert timedelta(seconds=50) < first.wait < second.wait <= timedelta(seconds=200)
    assert await reserve(database, 5, NONE) == Share(0)
    assert await reserve(database, 1, timedelta(seconds=100)) == Share(0)


async def test_workers_share_one_pace(database: AsyncEngine) -> None:
    shares = await asyncio.gather(*(reserve(database, 3, timedelta(seconds=450)) for _ in range(4)))
    assert sum(share.granted for share in shares) == 5
