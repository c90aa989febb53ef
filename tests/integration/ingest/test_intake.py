"""Messages come in: what is kept, what is refused, what a repetition does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from engine.ingest.intake import Accepted, Rejected, accept
from tests.integration.ingest.world import START, World


def track(event: str, message_id: str = "m1", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "c1", "event": event, "messageId": message_id, **more}


async def stored(world: World) -> list[Any]:
    async with world.database.connect() as connection:
        rows = await connection.execute(sa.text("SELECT * FROM events ORDER BY sequence"))
        return list(rows)


async def test_one_bad_message_does_not_lose_the_others(world: World) -> None:
    given = [track("a", "1"), {"type": "track"}, track("b", "2"), "nonsense"]
    results = await accept(world.database, "web", given, START)
    assert [type(result) for result in results] == [Accepted, Rejected, Accepted, Rejected]
    assert isinstance(results[1], Rejected)
    assert "userId or anonymousId" in results[1].reason
    assert [row.name for row in await stored(world)] == ["a", "b"]


async def test_names_that_clients_send_become_declared_ones(world: World) -> None:
    await world.apply("journey: nothing\ntrigger: {event: cart.updated}\nsteps: [{id: end, stop: {}}]\n")
    await accept(world.database, "web", [track("Cart Updated", properties={"cart_id": "k1"})], START)
    (row,) = await stored(world)
    assert row.name == "cart.updated"
    assert row.properties == {"cart_id": "k1"}


async def test_a_repetition_is_accepted_and_kept_once(world: World) -> None:
    (first,) = await accept(world.database, "web", [track("a")], START)
    again = await accept(world.database, "web", [track("a"), track("b", "2"), track("b", "2")], START)
    assert isinstance(first, Accepted)
    assert [result.duplicate for result in again if isinstance(result, Accepted)] == [True, False, True]
    assert len(await stored(world)) == 2


async def test_two_sources_may_use_the_same_message_id(world: World) -> None:
    await accept(world.database, "web", [track("a")], START)
    await accept(world.database, "app", [track("a")], START)
    assert len(await stored(world)) == 2


async def test_the_same_event_from_two_clients_at_once_is_kept_once(world: World) -> None:
    batch = [track("a", str(n)) for n in range(20)]
    answers = await asyncio.gather(
        *(accept(world.database, "web", order, START) for order in (batch, batch[::-1], batch))
    )
    kept = [r.event_id for a in answers for r in a if isinstance(r, Accepted) and not r.duplicate]
    assert len(kept) == len(set(kept)) == len(await stored(world)) == 20


async def test_an_old_identify_sent_again_does_not_undo_a_newer_one(world: World) -> None:
    def identify(message_id: str, tier: str) -> dict[str, Any]:
        return {"type": "identify", "userId": "c1", "messageId": message_id, "traits": {"tier": tier}}

    await accept(world.database, "web", [identify("1", "silver"), identify("2", "gold")], START)
    await accept(world.database, "web", [identify("1", "silver")], START)
    async with world.database.connect() as connection:
        (attributes,) = (await connection.execute(sa.text("SELECT attributes FROM profiles"))).one()
    assert attributes == {"tier": "gold"}


async def test_an_identify_joins_the_anonymous_visitor_to_the_customer(world: World) -> None:
    before = {"type": "track", "anonymousId": "a1", "event": "seen", "messageId": "1"}
    identify = {"type": "identify", "anonymousId": "a1", "userId": "c1", "messageId": "2"}
    await accept(world.database, "web", [before], START)
    await accept(world.database, "web", [identify], START)
    await accept(world.database, "web", [track("later", "3")], START)
    assert len({row.profile_id for row in await stored(world)}) == 1


async def test_traits_are_not_kept_with_the_event(world: World) -> None:
    identify = {
        "type": "identify",
        "userId": "c1",
        "traits": {"email": "who@example.com", "consents": ["email"]},
    }
    await accept(world.database, "web", [identify], START)
    rows = await stored(world)
    assert [row.name for row in rows] == ["profile.identified", "consent.changed"]
    assert "example.com" not in str([row.properties for row in rows])


async def test_a_wrong_clock_of_the_sender_is_corrected(world: World) -> None:
    ahead = timedelta(days=400)
    sent_at = START + ahead
    message = track("a", timestamp=(sent_at - timedelta(minutes=5)).isoformat())
    await accept(world.database, "web", [message], START, sent_at)
    (row,) = await stored(world)
    assert row.occurred_at == START - timedelta(minutes=5)


async def test_undeclared_events_are_kept_and_counted(world: World) -> None:
    await accept(world.database, "web", [track("odd", str(n)) for n in range(3)], START)
    async with world.database.connect() as connection:
        rows = await connection.execute(sa.text("SELECT event, property, seen FROM undeclared"))
        assert [tuple(row) for row in rows] == [("odd", "", 3)]


async def test_odd_characters_disturb_nothing(world: World) -> None:
    odd = track("a", properties={"smile": "😀", "nul": "a\x00b", "half": "\ud83d", "deep": {"x": [1, {}]}})
    (result,) = await accept(world.database, "web", [odd], START)
    assert isinstance(result, Accepted)
    (row,) = await stored(world)
    assert row.properties["smile"] == "😀"
    assert row.properties["nul"] == "ab"
