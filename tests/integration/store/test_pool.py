"""Rows of the pool: who stores what, what is handed over meanwhile, and who works on which shard."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store import journeys, pool
from engine.store.database import open_database
from engine.store.pool import NewRow, Row, Standing, Stored
from engine.store.tables import POOL_CHANNEL, POOL_SHARDS

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROFILE = str(uuid.UUID(int=7))
SHARD = pool.pool_shard(PROFILE)


@pytest.fixture(autouse=True)
async def two_journeys(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await journeys.apply_batch(connection, {"cart": ("d1", ""), "other": ("d2", "")})


async def add(connection: AsyncConnection, journey: str = "cart", profile_id: str = PROFILE) -> str:
    enrolment_id = str(uuid.uuid4())
    await pool.add_batch(connection, [NewRow(enrolment_id, journey, profile_id)])
    return enrolment_id


async def row(connection: AsyncConnection, enrolment_id: str) -> Row:
    [found] = await pool.get_batch(connection, [enrolment_id])
    return found


async def due(connection: AsyncConnection, at: datetime = NOON, limit: int = 100) -> list[str]:
    return [each.enrolment_id for each in await pool.due_batch(connection, "cart", SHARD, at, limit)]


def item(number: int) -> dict[str, Any]:
    return {"kind": "event_seen", "id": f"e{number}"}


async def test_a_new_row_is_due_at_once_and_has_not_begun(connection: AsyncConnection) -> None:
    enrolment_id = await add(connection)
    assert await row(connection, enrolment_id) == Row(enrolment_id, None, [], 0, 0)
    assert await due(connection) == [enrolment_id]
    await pool.add_batch(connection, [NewRow(enrolment_id, "cart", PROFILE)])
    assert await due(connection) == [enrolment_id]


async def test_a_stored_row_is_due_when_it_says_and_not_before(connection: AsyncConnection) -> None:
    enrolment_id = await add(connection)
    kept = Stored(await row(connection, enrolment_id), b"state", NOON + HOUR, [item(1)])
    assert await pool.store_batch(connection, [kept]) == {enrolment_id}
    assert await row(connection, enrolment_id) == Row(enrolment_id, b"state", [item(1)], 0, 1)
    assert await due(connection, NOON) == []
    assert await due(connection, NOON + HOUR) == [enrolment_id]


async def test_a_row_without_an_instant_waits_to_be_called(connection: AsyncConnection) -> None:
    enrolment_id = await add(connection)
    await pool.store_batch(connection, [Stored(await row(connection, enrolment_id), b"state", None)])
    assert await due(connection, NOON + 1000 * HOUR) == []
    await pool.call_batch(connection, [(enrolment_id, [item(1), item(2)])])
    assert await due(connection) == [enrolment_id]
    assert (await row(connection, enrolment_id)).inbox == [item(1), item(2)]


@pytest.mark.parametrize("left", [[], [item(0)], [item(0), item(9)]])
async def test_what_is_handed_over_while_a_batch_is_worked_on_is_kept_and_looked_at(
    connection: AsyncConnection, left: list[dict[str, Any]]
) -> None:
    """Of what the batch had it says what is left; what came meanwhile stands behind that, in order."""
    enrolment_id = await add(connection)
    await pool.call_batch(connection, [(enrolment_id, [item(0), item(1)])])
    taken = await row(connection, enrolment_id)
    await pool.call_batch(connection, [(enrolment_id, [item(2)])])
    await pool.call_batch(connection, [(enrolment_id, [item(3), item(4)])])
    stored = Stored(taken, b"after", NOON + HOUR, left)
    assert await pool.store_batch(connection, [stored]) == {enrolment_id}
    now = await row(connection, enrolment_id)
    assert (now.state, now.inbox) == (b"after", [*left, item(2), item(3), item(4)])
    assert await due(connection) == [enrolment_id], "it is looked at again at once"


async def test_two_batches_that_each_miss_something_lose_nothing(connection: AsyncConnection) -> None:
    enrolment_id = await add(connection)
    for number in range(3):
        taken = await row(connection, enrolment_id)
        await pool.call_batch(connection, [(enrolment_id, [item(number)])])
        await pool.store_batch(connection, [Stored(taken, b"s", None, taken.inbox)])
    assert (await row(connection, enrolment_id)).inbox == [item(0), item(1), item(2)]


async def test_of_two_who_worked_on_a_row_the_first_one_counts(connection: AsyncConnection) -> None:
    enrolment_id, other = await add(connection), await add(connection)
    ours = [await row(connection, enrolment_id), await row(connection, other)]
    theirs = await row(connection, enrolment_id)
    assert await pool.store_batch(connection, [Stored(theirs, b"theirs", None)]) == {enrolment_id}
    assert await pool.store_batch(connection, [Stored(one, b"ours", None) for one in ours]) == {other}
    assert (await row(connection, enrolment_id)).state == b"theirs"
    assert await pool.remove_batch(connection, ours) == set()
    assert await pool.remove_batch(connection, [await row(connection, enrolment_id)]) == {enrolment_id}
    assert await pool.get_batch(connection, [enrolment_id]) == []


async def test_a_row_that_is_called_may_still_be_stored_by_who_took_it(connection: AsyncConnection) -> None:
    enrolment_id = await add(connection)
    taken = await row(connection, enrolment_id)
    await pool.call_journey(connection, "cart", item(1))
    assert await pool.store_batch(connection, [Stored(taken, b"s", NOON + HOUR)]) == {enrolment_id}
    assert (await row(connection, enrolment_id)).inbox == [item(1)]


async def test_a_whole_journey_is_called_and_no_other(connection: AsyncConnection) -> None:
    mine, others = [await add(connection) for _ in range(3)], [await add(connection, "other")]
    assert await pool.call_journey(connection, "cart", {"kind": "control", "action": "pause"}) == 3
    for enrolment_id in mine:
        assert (await row(connection, enrolment_id)).inbox == [{"kind": "control", "action": "pause"}]
    assert (await row(connection, others[0])).inbox == []


async def test_an_enrolment_that_has_ended_misses_what_is_handed_over(connection: AsyncConnection) -> None:
    enrolment_id = await add(connection)
    await pool.remove_batch(connection, [await row(connection, enrolment_id)])
    await pool.call_batch(connection, [(enrolment_id, [item(1)])])
    assert await pool.get_batch(connection, [enrolment_id]) == []


async def test_those_who_were_called_go_first_and_then_those_due_longest(connection: AsyncConnection) -> None:
    ids = [await add(connection) for _ in range(4)]
    for enrolment_id, hours in zip(ids, (3, 1, 2, 4), strict=True):
        kept = Stored(await row(connection, enrolment_id), b"s", NOON - hours * HOUR)
        await pool.store_batch(connection, [kept])
    await pool.call_batch(connection, [(ids[1], [item(1)])])
    assert await due(connection) == [ids[1], ids[3], ids[0], ids[2]]
    assert await due(connection, limit=2) == [ids[1], ids[3]]


async def test_it_is_told_how_a_shard_stands(connection: AsyncConnection) -> None:
    assert await pool.standing(connection, "cart", SHARD, NOON) == Standing(0, 0, 0, None)
    ids = [await add(connection) for _ in range(5)]
    elsewhere = next(p for n in range(99) if pool.pool_shard(p := str(uuid.UUID(int=n))) != SHARD)
    await add(connection, profile_id=elsewhere)
    await add(connection, "other")
    second = timedelta(seconds=1)
    for enrolment_id, at in zip(ids, (NOON - 60 * second, NOON, NOON + HOUR, None), strict=False):
        await pool.store_batch(connection, [Stored(await row(connection, enrolment_id), b"s", at)])
    # The fifth is new: due now, and not late.
    assert await pool.standing(connection, "cart", SHARD, NOON) == Standing(5, 3, 1, NOON)
    assert (await pool.standing(connection, "cart", None, NOON)).live == 6
    await pool.remove_batch(connection, [await row(connection, ids[4])])
    later = await pool.standing(connection, "cart", SHARD, NOON)
    assert (later.due, later.next_at) == (2, NOON - 60 * second)
    assert await pool.next_at(connection, "cart", SHARD) == NOON - 60 * second


async def test_a_shard_is_asleep_while_rows_are_due_and_nobody_holds_it(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        enrolment_id = await add(connection)
        await add(connection, "other")
    worker, look = await database.connect(), await database.connect()
    try:
        assert await pool.asleep(look, NOON) == [("cart", SHARD), ("other", SHARD)]
        assert await pool.try_shard(worker, "cart", SHARD)
        assert await pool.asleep(look, NOON) == [("other", SHARD)]
        assert await pool.try_shard(look, "cart", SHARD) is False
        await pool.give_back(worker, "cart", SHARD)
        assert await pool.asleep(look, NOON) == [("cart", SHARD), ("other", SHARD)]
        await pool.store_batch(look, [Stored(await row(look, enrolment_id), b"s", NOON + HOUR)])
        assert await pool.asleep(look, NOON) == [("other", SHARD)]
        assert await pool.asleep(look, NOON + HOUR) == [("cart", SHARD), ("other", SHARD)]
    finally:
        await worker.close()
        await look.close()


async def test_a_lock_of_another_database_on_the_same_server_holds_nothing_here(
    database: AsyncEngine, new_database: Callable[[], str]
) -> None:
    async with database.begin() as connection:
        await add(connection)
    neighbour = open_database(new_database())
    try:
        async with neighbour.connect() as there, database.connect() as here:
            await journeys.apply_batch(there, {"cart": ("d1", "")})
            assert await pool.try_shard(there, "cart", SHARD)
            assert await pool.asleep(here, NOON) == [("cart", SHARD)]
            assert await pool.try_shard(here, "cart", SHARD)
    finally:
        await neighbour.dispose()


async def test_every_way_to_become_due_rings_for_its_shard(database: AsyncEngine, database_url: str) -> None:
    heard: list[str] = []
    listener = await asyncpg.connect(database_url.replace("postgresql+asyncpg", "postgresql"))
    try:
        await listener.add_listener(POOL_CHANNEL, lambda *told: heard.append(str(told[-1])))

        async def rang() -> list[str]:
            await listener.execute("SELECT 1")  # notifications come with an answer
            found, heard[:] = sorted(set(heard)), []
            return found

        async with database.begin() as connection:
            enrolment_id = await add(connection)
        assert await rang() == [f"cart/{SHARD}"]
        async with database.begin() as connection:
            await pool.call_batch(connection, [(enrolment_id, [item(1)])])
        assert await rang() == [f"cart/{SHARD}"]
        async with database.begin() as connection:
            await pool.call_journey(connection, "cart", item(2))
        assert f"cart/{SHARD}" in await rang()
    finally:
        await listener.close()


def test_profiles_are_spread_over_all_shards_of_a_journey() -> None:
    shards = {pool.pool_shard(str(uuid.uuid5(uuid.NAMESPACE_URL, str(n)))) for n in range(1000)}
    assert shards == set(range(POOL_SHARDS))
