"""Single events that come at once, kept together in a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ingest.gathering import Gathering
from engine.ingest.intake import Accepted, Came, Rejected, accept_live
from engine.store import clock
from engine.store.clock import ScaledClock
from engine.store.database import is_outage, open_database
from tests.integration.ingest.world import START, World

DEADLINE = 60
Events = Gathering[Came, Accepted | Rejected]


@pytest.fixture
def gathering(world: World) -> Events:
    return Gathering(partial(accept_live, world.database))


def track(number: int, event: str = "seen", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": f"c{number % 5}", "event": event, "messageId": f"m{number}", **more}


async def answers(gathering: Events, messages: Sequence[object]) -> list[Any]:
    """What each is answered; they come at once, in this order."""
    now = datetime.now(UTC)
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(
            *(gathering.accept("web", Came(message, now)) for message in messages), return_exceptions=True
        )


async def stored(world: World) -> list[Any]:
    async with world.database.connect() as connection:
        return list(await connection.execute(sa.text("SELECT * FROM events ORDER BY sequence")))


async def transactions(world: World) -> int:
    """How many transactions the events are from."""
    async with world.database.connect() as connection:
        result = await connection.execute(sa.text("SELECT count(DISTINCT xmin::text) FROM events"))
        return int(result.scalar_one())


async def test_events_that_come_at_once_are_all_kept_in_order_by_few_transactions(
    world: World, gathering: Events
) -> None:
    results = await answers(gathering, [track(number) for number in range(300)])
    assert [result.message_id for result in results] == [f"m{number}" for number in range(300)]
    assert not any(result.duplicate for result in results)
    assert [row.message_id for row in await stored(world)] == [f"m{number}" for number in range(300)]
    assert await transactions(world) <= 3


async def test_a_bad_event_among_good_ones_is_answered_by_itself(world: World, gathering: Events) -> None:
    messages: list[object] = [track(number) for number in range(20)]
    messages[7], messages[11] = {"type": "track", "event": "whose?"}, "nonsense"
    results = await answers(gathering, messages)
    assert [index for index, result in enumerate(results) if isinstance(result, Rejected)] == [7, 11]
    assert "userId or anonymousId" in results[7].reason
    assert len(await stored(world)) == 18


async def test_a_repetition_in_one_transaction_is_accepted_and_kept_once(
    world: World, gathering: Events
) -> None:
    results = await answers(gathering, [track(1), track(2), track(1), track(1)])
    assert [result.duplicate for result in results] == [False, False, True, True]
    assert len(await stored(world)) == 2


async def test_an_event_that_the_database_refuses_fails_alone(world: World, gathering: Events) -> None:
    async with world.database.begin() as connection:
        await connection.execute(
            sa.text("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '22000'; END $$
        """)
        )
        await connection.execute(
            sa.text(
                "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW "
                "WHEN (NEW.name = 'poison') EXECUTE FUNCTION refuse()"
            )
        )
    messages = [track(number, "poison" if number == 4 else "seen") for number in range(10)]
    results = await answers(gathering, messages)
    assert isinstance(results.pop(4), sa.exc.DBAPIError)
    assert all(isinstance(result, Accepted) and not result.duplicate for result in results)
    assert [row.message_id for row in await stored(world)] == [f"m{n}" for n in range(10) if n != 4]


async def test_without_a_database_every_event_meets_the_outage() -> None:
    database = open_database("postgresql://kairos@127.0.0.1:1/kairos")
    results = await answers(Gathering(partial(accept_live, database)), [track(number) for number in range(5)])
    assert all(is_outage(result) for result in results)
    await database.dispose()


async def test_identifies_of_one_customer_apply_in_the_order_in_which_they_came(
    world: World, gathering: Events
) -> None:
    messages = [
        {"type": "identify", "userId": "c1", "traits": {"tier": f"t{number}", f"had{number}": True}}
        for number in range(60)
    ]
    await answers(gathering, messages)
    async with world.database.connect() as connection:
        (attributes,) = (await connection.execute(sa.text("SELECT attributes FROM profiles"))).one()
    assert attributes == {"tier": "t59"} | {f"had{number}": True for number in range(60)}


async def test_an_identify_joins_what_came_before_it_in_the_same_transaction(
    world: World, gathering: Events
) -> None:
    visitor = {"type": "track", "anonymousId": "a1", "event": "seen"}
    identify = {"type": "identify", "anonymousId": "a1", "userId": "c1"}
    await answers(gathering, [visitor, identify, track(1)])
    assert len({row.profile_id for row in await stored(world)}) == 1


async def test_a_cancelled_request_loses_nothing_of_its_group(world: World, gathering: Events) -> None:
    now = datetime.now(UTC)
    async with asyncio.timeout(DEADLINE):
        async with world.database.begin() as connection:
            await connection.execute(sa.text("LOCK TABLE events"))
            tasks = [
                asyncio.create_task(gathering.accept("web", Came(track(number), now))) for number in range(6)
            ]
            done, _ = await asyncio.wait(tasks, timeout=0.2)
            assert not done
            tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(2), asyncio.CancelledError)
        assert all(isinstance(result, Accepted) for result in results)
        assert len(await stored(world)) == 6


async def test_each_event_of_a_transaction_keeps_its_own_logical_instant(
    world: World, gathering: Events
) -> None:
    began = datetime.now(UTC)
    ticking = ScaledClock(START, began, speed=86_400.0)
    async with world.database.begin() as connection:
        await clock.save(connection, ticking)
    at = [began + timedelta(milliseconds=10 * number) for number in range(4)]
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(
            *(gathering.accept("web", Came(track(number), at[number])) for number in range(4))
        )
    rows = await stored(world)
    assert [row.received_at for row in rows] == [ticking.logical(each) for each in at]
    assert [row.occurred_at for row in rows] == [row.received_at for row in rows]
    assert await transactions(world) == 1
