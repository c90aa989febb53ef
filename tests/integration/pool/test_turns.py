"""Turns at a shard: one process at a time, until nothing is due, and a little longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from channels.testing.fakes import FakeAdapter
from engine.pool.shards import Shards
from engine.pool.turn import take_turn
from engine.store import pool
from engine.store.pool import pool_shard
from tests.integration.faults.trial import until
from tests.integration.pool.shop import HOUR, START, arrive, enter, happens, rows, use
from tests.integration.pool.virtual import Virtual

PLACE = ("cart", 3)
DEADLINE = 30.0


@pytest.fixture
async def shards(shop: Virtual) -> AsyncIterator[Shards]:
    async with Shards(shop.database) as shards:
        yield shards


@pytest.fixture
async def elsewhere(shop: Virtual) -> AsyncIterator[Shards]:
    """Those of another process."""
    async with Shards(shop.database) as shards:
        yield shards


async def holders(shop: Virtual) -> list[int]:
    """Server processes that hold a shard."""
    async with shop.database.connect() as connection:
        found = await connection.execute(
            sa.text(
                "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = "
                "current_database() AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.objid = :shard"
            ),
            {"shard": PLACE[1]},
        )
        return [row.pid for row in found]


# --- who holds a shard ----------------------------------------------------------------------------------


async def test_of_two_processes_one_holds_a_shard(shards: Shards, elsewhere: Shards) -> None:
    async with (
        shards.hold(PLACE) as ours,
        elsewhere.hold(PLACE) as theirs,
        elsewhere.hold(("cart", 4)) as another,
    ):
        assert (ours, theirs, another) == (True, False, True)
    async with elsewhere.hold(PLACE) as theirs:
        assert theirs


async def test_one_process_holds_a_shard_once_also_when_it_asks_twice_at_the_same_moment(
    shards: Shards, elsewhere: Shards
) -> None:
    """PostgreSQL gives a session a lock that it has already a second time."""
    leave = asyncio.Event()
    answers: list[bool] = []

    async def ask() -> None:
        async with shards.hold(PLACE) as held:
            answers.append(held)
            if held:
                await leave.wait()

    asked = [asyncio.create_task(ask()) for _ in range(5)]

    async def all_answered() -> bool:
        return len(answers) == 5

    await until("five answers", all_answered)
    async with elsewhere.hold(PLACE) as theirs:
        assert not theirs, "it is still held"
    leave.set()
    await asyncio.gather(*asked)
    assert sorted(answers) == [False, False, False, False, True]
    async with elsewhere.hold(PLACE) as theirs:
        assert theirs, "it was given back as often as it was taken"


async def test_a_process_that_dies_gives_its_shards_back(
    shop: Virtual, shards: Shards, elsewhere: Shards
) -> None:
    async with shards.hold(PLACE) as ours:
        assert ours
        [pid] = await holders(shop)
        async with shop.database.connect() as connection:
            await connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

        async def free() -> bool:
            return not await holders(shop)

        await until("the lock to be given back", free)
        async with elsewhere.hold(PLACE) as theirs:
            assert theirs
    # The one that lost its connection opens another one; a first failure is for its caller to try again.
    for _ in range(2):
        try:
            async with shards.hold(PLACE) as ours:
                assert ours
                break
        except Exception:
            continue
    else:
        raise AssertionError("it never holds a shard again")


async def test_a_bell_rings_for_the_shard_that_is_called_only(shop: Virtual, shards: Shards) -> None:
    stop = asyncio.Event()
    listening = asyncio.create_task(shards.listen(stop))
    try:
        async with shards.hold(PLACE), shards.hold(("cart", 4)):

            async def rings() -> bool:
                async with shop.database.begin() as connection:
                    await connection.execute(sa.text("SELECT pg_notify('kairos_pool', 'cart/3')"))
                return await shards.rung(PLACE, 0.2)

            await until("the bell of a shard that was called", rings)
            assert not await shards.rung(("cart", 4), 0.01)
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE):
            await listening


# --- turns ----------------------------------------------------------------------------------------------


async def test_a_turn_works_through_all_that_is_due_and_tells_how_the_shard_stands(
    shop: Virtual, shards: Shards
) -> None:
    users = [f"c{number}" for number in range(40)]
    await enter(shop, *users)
    sms = FakeAdapter("sms")
    use(shop, sms)
    shop.clock.wall = START + HOUR
    of_shard: dict[int, int] = {}
    for row in (await rows(shop)).values():
        shard = pool_shard(row.profile_id)
        of_shard[shard] = of_shard.get(shard, 0) + 1
    shard, count = max(of_shard.items(), key=lambda item: item[1])
    assert count > 3
    found = await take_turn(
        shop.ports, shards, "cart", shard, limit=3, stopping=lambda: len(sms.taken) >= count
    )
    assert (found.held, found.worked, len(sms.taken)) == (True, count, count)
    assert found.standing is not None
    assert (found.standing.live, found.standing.due) == (count, 0)
    assert found.standing.next_at == START + 2 * HOUR
    async with shop.database.connect() as connection:
        assert (await pool.standing(connection, "cart", None, shop.clock.wall)).due == 40 - count


async def test_a_turn_at_a_shard_that_another_process_has_is_over_at_once(
    shop: Virtual, shards: Shards, elsewhere: Shards
) -> None:
    await enter(shop, "c0")
    shard = pool_shard((await rows(shop))["c0"].profile_id)
    async with elsewhere.hold(("cart", shard)):
        found = await take_turn(shop.ports, shards, "cart", shard)
    assert (found.held, found.worked, found.standing) == (False, 0, None)


async def test_a_turn_takes_up_what_comes_while_it_looks_on(shop: Virtual, shards: Shards) -> None:
    await enter(shop, "c0")
    row = (await rows(shop))["c0"]
    stop, over = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(shards.listen(stop))
    turn = asyncio.create_task(
        take_turn(shop.ports, shards, "cart", pool_shard(row.profile_id), stopping=over.is_set)
    )
    try:
        await asyncio.sleep(0)
        await shop.take(happens(shop, "order.paid", "c0"))
        await shop.router.sweep()

        async def ended() -> bool:
            return (await rows(shop))["c0"].exit == "goal"

        await until("a turn under way to take up a goal", ended)
        assert not turn.done()
    finally:
        over.set()
        stop.set()
        async with asyncio.timeout(DEADLINE):
            found = await turn
            await listening
    assert found.worked == 1
    assert found.standing is not None
    assert found.standing.live == 0


async def test_newcomers_of_a_shard_in_hand_need_no_other_way(shop: Virtual, shards: Shards) -> None:
    """Nobody is asleep while a turn is under way: Temporal is not asked."""
    await shop.take(arrive("c0"))
    async with shop.database.connect() as connection:
        assert await pool.asleep(connection, shop.clock.wall) == []
    await shop.take(happens(shop, "cart.updated", "c0"))
    await shop.router.sweep()
    shard = pool_shard((await rows(shop))["c0"].profile_id)
    async with shop.database.connect() as connection:
        assert await pool.asleep(connection, shop.clock.wall) == [("cart", shard)]
        async with shards.hold(("cart", shard)):
            assert await pool.asleep(connection, shop.clock.wall) == []
