from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.core.identity import event_id
from engine.store import events
from engine.store.events import NewEvent
from engine.store.shards import shard_of

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
PERSON = str(uuid.uuid4())


def an_event(
    message: str, minutes: int = 0, profile_id: str = PERSON, name: str = "cart.updated"
) -> NewEvent:
    at = NOON + timedelta(minutes=minutes)
    return NewEvent(
        event_id("web", message), profile_id, name, at, NOON, "web", message, {"note": "茶\x00", "n": minutes}
    )


async def test_events_are_routed_by_when_they_occurred_then_by_arrival(connection: AsyncConnection) -> None:
    await events.insert_batch(
        connection, [an_event("late", 9), an_event("tie 1", 3), an_event("tie 2", 3), an_event("early", 1)]
    )
    [shard] = await events.unrouted_shards(connection)
    assert shard == shard_of(PERSON)
    waiting = await events.unrouted(connection, shard, 10)
    assert [e.message_id for e in waiting] == ["early", "tie 1", "tie 2", "late"]
    assert waiting[0].properties == {"note": "茶", "n": 1}
    assert [e.message_id for e in await events.unrouted(connection, shard, 2)] == ["early", "tie 1"]
    until = NOON + timedelta(minutes=3)
    assert len(await events.unrouted(connection, shard, 10, until)) == 3
    assert [e.event_id for e in await events.unrouted_of(connection, [PERSON])] == [
        e.event_id for e in waiting
    ]

    await events.mark_routed(connection, [e.event_id for e in waiting[:3]], NOON)
    assert [e.message_id for e in await events.unrouted(connection, shard, 10)] == ["late"]


async def test_of_an_event_twice_in_a_batch_the_first_is_kept_in_its_place(
    connection: AsyncConnection,
) -> None:
    batch = [an_event(message, 3) for message in ("a", "b", "a", "c", "b", "a")]
    await events.insert_batch(connection, batch)
    waiting = await events.unrouted(connection, shard_of(PERSON), 10)
    assert [each.message_id for each in waiting] == ["a", "b", "c"]


async def test_the_same_event_of_two_clients_at_once_is_kept_once(database: AsyncEngine) -> None:
    batch = [an_event(f"m{n}", n) for n in range(50)]

    async def client(order: int) -> int:
        async with database.begin() as connection:
            return len(await events.insert_batch(connection, batch[::order] + batch[:3]))

    counts = await asyncio.gather(*(client(order) for order in (1, 1, 1, 1)))
    assert sum(counts) == 50
    async with database.begin() as connection:
        found = await events.for_profiles(connection, [PERSON], ["cart.updated"])
        assert [e.properties["n"] for e in found[PERSON]] == list(range(50))


async def test_history_is_bounded_on_both_sides(connection: AsyncConnection) -> None:
    other = str(uuid.uuid4())
    await events.insert_batch(
        connection,
        [an_event(f"m{n}", n) for n in range(5)]
        + [an_event("x", 2, name="order.paid"), an_event("o", 2, profile_id=other)],
    )
    found = await events.for_profiles(
        connection,
        [PERSON, other],
        ["cart.updated"],
        since=NOON + timedelta(minutes=1),
        until=NOON + timedelta(minutes=3),
    )
    assert [e.message_id for e in found[PERSON]] == ["m1", "m2", "m3"]
    assert [e.message_id for e in found[other]] == ["o"]
    later = await events.later_than(connection, PERSON, NOON + timedelta(minutes=2), ["cart.updated"])
    assert [e.message_id for e in later] == ["m3", "m4"]
    assert [e.message_id for e in await events.of_profile(connection, PERSON, 2)] == ["m4", "m3"]


async def test_names_that_nobody_declared_are_counted(connection: AsyncConnection) -> None:
    await events.count_undeclared(connection, {("cart.seen", ""): 2}, NOON)
    await events.count_undeclared(connection, {("cart.seen", ""): 1, ("cart.updated", "x"): 1}, NOON)
    rows = await connection.exec_driver_sql("SELECT event, property, seen FROM undeclared ORDER BY event")
    assert [tuple(row) for row in rows] == [("cart.seen", "", 3), ("cart.updated", "x", 1)]
