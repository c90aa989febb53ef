from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.core.identity import event_id, profile_key
from engine.core.inputs import EntryState
from engine.customers.resolve import IdentityError, resolve_batch
from engine.store import enrolments, entries, events, profiles
from engine.store.database import in_transaction
from engine.store.enrolments import Enrolment
from engine.store.events import NewEvent
from engine.store.identities import Identity

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
VISITOR: Identity = ("anonymous_id", "a-1")
CUSTOMER: Identity = ("external_id", "c-1")


async def count(connection: AsyncConnection, what: str) -> int:
    return int((await connection.execute(sa.text(f"SELECT count(*) FROM {what}"))).scalar_one())


async def test_an_identity_always_leads_to_the_same_profile(connection: AsyncConnection) -> None:
    [first, again, other] = await resolve_batch(connection, [[CUSTOMER], [CUSTOMER], [VISITOR]])
    assert first == again
    assert first.made
    assert first.key == profile_key(*CUSTOMER)
    assert other.profile_id != first.profile_id
    [later] = await resolve_batch(connection, [[CUSTOMER]])
    assert (later.profile_id, later.made) == (first.profile_id, False)


async def test_a_visitor_who_signs_up_becomes_the_customer_and_keeps_the_key(
    connection: AsyncConnection,
) -> None:
    [visitor] = await resolve_batch(connection, [[VISITOR]])
    [signed_up] = await resolve_batch(connection, [[CUSTOMER, VISITOR]])
    assert (signed_up.profile_id, signed_up.key) == (visitor.profile_id, profile_key(*VISITOR))
    [known] = await resolve_batch(connection, [[CUSTOMER]])
    assert known.profile_id == visitor.profile_id
    profile = (await profiles.get_batch(connection, [known.profile_id]))[known.profile_id]
    assert (profile.external_id, profile.addresses) == ("c-1", {"anonymous_id": "a-1"})


async def test_the_same_within_one_batch_makes_one_profile(connection: AsyncConnection) -> None:
    visit, sign_up, later = await resolve_batch(connection, [[VISITOR], [CUSTOMER, VISITOR], [CUSTOMER]])
    assert visit.profile_id == sign_up.profile_id == later.profile_id
    assert visit.key == profile_key(*VISITOR)
    assert await count(connection, "profiles") == 1


@pytest.mark.parametrize("visitor_first", [True, False])
async def test_two_that_turn_out_to_be_one_within_a_batch_are_one_from_the_start(
    connection: AsyncConnection, visitor_first: bool
) -> None:
    order = [VISITOR, CUSTOMER] if visitor_first else [CUSTOMER, VISITOR]
    first, second, linked = await resolve_batch(connection, [[order[0]], [order[1]], [CUSTOMER, VISITOR]])
    assert first == second == linked
    assert linked.key == profile_key(*order[0])
    assert await count(connection, "profiles") == 1
    profile = (await profiles.get_batch(connection, [linked.profile_id]))[linked.profile_id]
    assert profile.external_id == "c-1"


async def test_an_odd_character_in_an_identity_loses_nothing(connection: AsyncConnection) -> None:
    odd: Identity = ("external_id", "c\x00-茶🍵")
    [first, again] = await resolve_batch(connection, [[odd], [("external_id", "c-茶🍵")]])
    assert first == again


async def test_a_second_device_is_linked_to_the_known_customer(connection: AsyncConnection) -> None:
    [known] = await resolve_batch(connection, [[CUSTOMER]])
    [linked] = await resolve_batch(connection, [[CUSTOMER, ("anonymous_id", "tablet")]])
    [seen] = await resolve_batch(connection, [[("anonymous_id", "tablet")]])
    assert known.profile_id == linked.profile_id == seen.profile_id


@pytest.mark.parametrize("visitor_first", [True, False])
async def test_linking_merges_everything_and_the_older_key_stays(
    database: AsyncEngine, visitor_first: bool
) -> None:
    order = [VISITOR, CUSTOMER] if visitor_first else [CUSTOMER, VISITOR]
    ids = {}
    for identity in order:
        async with database.begin() as connection:
            [found] = await resolve_batch(connection, [[identity]])
            ids[identity] = found.profile_id
    async with database.begin() as connection:
        await events.insert_batch(
            connection,
            [NewEvent(event_id("web", i[1]), ids[i], "cart.updated", NOON, NOON, "web", i[1]) for i in order],
        )
        await profiles.change_batch(
            connection,
            [
                profiles.Change(ids[VISITOR], {"tier": "silver", "seen": 1}, add_tags=("new",)),
                profiles.Change(ids[CUSTOMER], {"tier": "gold"}, add_tags=("staff",), time_zone="Asia/Tokyo"),
            ],
        )
        [merged] = await resolve_batch(connection, [[CUSTOMER, VISITOR]])

    assert merged.profile_id == ids[order[0]]
    assert merged.key == profile_key(*order[0])
    async with database.begin() as connection:
        profile = (await profiles.surviving(connection, [ids[order[1]]]))[ids[order[1]]]
        assert profile.id == merged.profile_id
        assert profile.attributes == {"tier": "gold", "seen": 1}
        assert (profile.tags, profile.external_id) == (["new", "staff"], "c-1")
        assert profile.time_zone == "Asia/Tokyo"
        assert len(await events.of_profile(connection, merged.profile_id)) == 2
        unrouted = await events.unrouted_of(connection, [merged.profile_id])
        assert len(unrouted) == 2
        answers = await resolve_batch(connection, [[CUSTOMER], [VISITOR]])
        assert {a.profile_id for a in answers} == {merged.profile_id}


async def test_merging_keeps_two_live_enrolments_of_one_journey_apart(connection: AsyncConnection) -> None:
    [visitor], [customer] = (
        await resolve_batch(connection, [[VISITOR]]),
        await resolve_batch(connection, [[CUSTOMER]]),
    )
    made = [
        Enrolment(str(uuid.uuid4()), journey, "d", who.profile_id, who.key, "null", None, {}, False, NOON)
        for journey, who in (("both", visitor), ("both", customer), ("one", visitor), ("two", customer))
    ]
    await enrolments.insert_batch(connection, made)
    keys = [entries.EntryKey(e.journey, e.profile_id, "null") for e in made]
    await entries.save(connection, {k: EntryState(live_id=e.id) for k, e in zip(keys, made, strict=True)})
    [merged] = await resolve_batch(connection, [[CUSTOMER, VISITOR]])
    live = await enrolments.live_for_profiles(connection, [merged.profile_id])
    assert sorted(e.journey for e in live) == ["both", "one", "two"]
    rest = {visitor.profile_id, customer.profile_id} - {merged.profile_id}
    assert [e.journey for e in await enrolments.live_for_profiles(connection, rest)] == ["both"]


async def test_two_known_customers_on_one_device_stay_two(connection: AsyncConnection) -> None:
    [first] = await resolve_batch(connection, [[CUSTOMER, VISITOR]])
    [second] = await resolve_batch(connection, [[("external_id", "c-2"), VISITOR]])
    assert first.profile_id != second.profile_id
    [device] = await resolve_batch(connection, [[VISITOR]])
    assert device.profile_id == first.profile_id


async def test_many_writers_of_the_same_people_make_each_once(database: AsyncEngine) -> None:
    people: list[list[Identity]] = [[("external_id", f"c-{n}")] for n in range(30)]

    async def writer(turn: int) -> dict[str, str]:
        mine = people[turn:] + people[:turn]
        found = await in_transaction(database, lambda c: resolve_batch(c, mine))
        return {i[0][1]: r.profile_id for i, r in zip(mine, found, strict=True)}

    answers = await asyncio.gather(*(writer(turn) for turn in range(8)))
    assert all(answer == answers[0] for answer in answers)
    async with database.connect() as connection:
        assert await count(connection, "profiles") == 30


async def test_writers_that_link_at_once_end_with_one_profile(database: AsyncEngine) -> None:
    async def writer(turn: int) -> None:
        requests: list[list[Identity]] = [
            [[("anonymous_id", f"a-{n}")], [("external_id", f"c-{n}"), ("anonymous_id", f"a-{n}")]][turn % 2]
            for n in range(10)
        ]
        await in_transaction(database, lambda c: resolve_batch(c, requests))

    await asyncio.gather(*(writer(turn) for turn in range(6)))
    async with database.connect() as connection:
        assert await count(connection, "identities") == 20
        assert await count(connection, "(SELECT DISTINCT profile_id FROM identities) p") == 10
        assert await count(connection, "profiles WHERE merged_into IS NULL") == 10
        for n in range(10):
            [found] = await resolve_batch(connection, [[("external_id", f"c-{n}")]])
            assert not found.made


async def test_a_request_without_a_value_is_refused(connection: AsyncConnection) -> None:
    with pytest.raises(IdentityError, match="at least one identity"):
        await resolve_batch(connection, [[("external_id", "")]])
