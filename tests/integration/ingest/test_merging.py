"""Two customers turn out to be one: journeys, messages and consents go along."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.core.identity import event_id, profile_key
from engine.customers.review import decide, undo
from engine.ingest.intake import Accepted, accept
from engine.ingest.merging import undo_merge
from engine.store import (
    consents,
    delivery_states,
    enrolments,
    entries,
    events,
    identities,
    merging,
    profiles,
    reviews,
    segments,
)
from engine.store.consents import Consent
from engine.store.delivery_states import NewDelivery, Settlement
from engine.store.events import NewEvent
from tests.integration.ingest.world import CATALOGUE, START, World

PHONE = "+8613800138000"
WELCOME = """
journey: welcome
trigger: {event: cart.updated, reenter: never}
steps:
  - {id: pause, wait: {for: 1d}}
"""
WELCOME_POOL = WELCOME.replace("trigger:", "run_as: pool\ntrigger:")


async def say(database: AsyncEngine, *messages: dict[str, Any], after: float = 0) -> list[Accepted]:
    results = await accept(database, "shop", messages, START + timedelta(minutes=after))
    kept = [result for result in results if isinstance(result, Accepted)]
    assert len(kept) == len(messages), results
    return kept


def identify(user: str | None = None, visitor: str | None = None, **traits: Any) -> dict[str, Any]:
    who = {"userId": user, "anonymousId": visitor}
    return {"type": "identify", "traits": traits} | {k: v for k, v in who.items() if v}


def cart(user: str | None = None, visitor: str | None = None) -> dict[str, Any]:
    return identify(user, visitor) | {"type": "track", "event": "cart.updated", "properties": {}}


async def owner(connection: AsyncConnection, kind: str, value: str) -> str:
    return (await identities.find_batch(connection, [(kind, value)]))[kind, value]


@pytest.fixture(params=[WELCOME, WELCOME_POOL], ids=["workflow", "pool"])
async def both(request: pytest.FixtureRequest, world: World) -> tuple[World, list[str]]:
    """A visitor and, later, a customer, both under way in one journey; ids of their enrolments."""
    await world.apply(request.param)
    await say(world.database, cart(visitor="a-1"))
    await world.route(timedelta(minutes=1))
    await say(world.database, cart("c-1"), after=2)
    await world.route(timedelta(minutes=3))
    made = await world.enrolments("welcome")
    assert len(made) == 2
    return world, [each.id for each in made]


async def controls(world: World, enrolment: str) -> list[dict[str, Any]]:
    async with world.database.connect() as connection:
        inbox = (
            await connection.execute(
                sa.text("SELECT inbox FROM pool_rows WHERE enrolment_id = :id"), {"id": enrolment}
            )
        ).scalar_one_or_none()
    told = [payload for kind, who, payload in await world.outbox() if kind == "control" and who == enrolment]
    return [*told, *(inbox or [])]


async def test_of_two_enrolments_of_one_journey_the_older_stays(both: tuple[World, list[str]]) -> None:
    world, [older, younger] = both
    await say(world.database, identify("c-1", "a-1"), after=4)
    rows = {each.id: each for each in await world.enrolments("welcome")}
    assert rows[older].status == "live"
    assert (rows[younger].status, rows[younger].exit) == ("ended", "superseded")
    assert await controls(world, older) == []
    [told] = await controls(world, younger)
    assert (told["kind"], told["action"], told["exit"]) == ("control", "end", "superseded")
    async with world.database.begin() as connection:
        survivor = await owner(connection, "external_id", "c-1")
        assert {each.profile_id for each in rows.values()} == {survivor}
        person = (await profiles.get_batch(connection, [survivor]))[survivor]
        assert person.key == profile_key("anonymous_id", "a-1")
        key = entries.EntryKey("welcome", survivor, rows[older].one_per)
        state = (await entries.load(connection, [key]))[key]
        assert (state.live_id, state.entered) == (older, 2)
    await world.route(timedelta(minutes=6))
    async with world.database.connect() as connection:
        assert await events.unrouted_of(connection, [survivor]) == []


@pytest.mark.parametrize("first", ["visitor", "customer"])
async def test_of_two_triggers_that_settle_the_last_counts(world: World, first: str) -> None:
    await world.apply(WELCOME.replace("reenter: never", "settle: 30m"))
    order = [cart(visitor="a-1"), cart("c-1")]
    if first == "customer":
        order.reverse()
    await say(world.database, order[0])
    await world.route(timedelta(minutes=1))
    await say(world.database, order[1], after=10)
    await world.route(timedelta(minutes=11))
    await say(world.database, identify("c-1", "a-1"), after=12)
    await world.route(timedelta(minutes=39))
    assert await world.enrolments("welcome") == []
    await world.route(timedelta(minutes=41))
    (enrolment,) = await world.enrolments("welcome")
    assert enrolment.entered_at == START + timedelta(minutes=40)


async def test_who_was_in_a_journey_under_either_name_does_not_enter_again(world: World) -> None:
    await world.apply(WELCOME)
    await say(world.database, cart(visitor="a-1"))
    await world.route(timedelta(minutes=1))
    await say(world.database, identify("c-1"), identify("c-1", "a-1"), cart("c-1"), after=2)
    await world.route(timedelta(minutes=4))
    assert len(await world.enrolments("welcome")) == 1


async def test_everything_goes_along_and_comes_back_when_the_merge_is_undone(world: World) -> None:
    await world.apply(WELCOME)
    database = world.database
    await say(database, cart(visitor="a-1"), identify(visitor="a-1", tier="silver", points=1, tags=["new"]))
    await world.route(timedelta(minutes=1))
    await say(database, identify("c-1", phone=PHONE, tier="gold", tags=["staff"]), after=2)
    async with database.begin() as connection:
        visitor, customer = (
            await owner(connection, "anonymous_id", "a-1"),
            await owner(connection, "external_id", "c-1"),
        )
        [enrolment] = await enrolments.live_for_profiles(connection, [visitor])
        new = NewDelivery(enrolment.id, "hi", enrolment.entry_month, "k", "welcome", visitor, START)
        [claimed] = (await delivery_states.claim_batch(connection, [new], "w")).mine.values()
        await delivery_states.write_batch(
            connection, [(claimed, Settlement(claimed.row_key, 0, "skipped", reason="capped"))], "w"
        )
        await consents.add_batch(connection, [Consent(visitor, "sms", True, START)])
        await segments.add_batch(connection, [("testers", visitor)])
        before = await profiles.get_batch(connection, [visitor, customer])
    await say(database, identify("c-1", "a-1", points=5), after=3)
    async with database.begin() as connection:
        assert await owner(connection, "external_id", "c-1") == visitor
        one = (await profiles.get_batch(connection, [visitor]))[visitor]
        assert one.attributes == {"tier": "gold", "points": 5}
        assert one.tags == ["new", "staff"]
        [merge] = await merging.of_profile(connection, customer)
    assert (merge.survivor, merge.loser) == (visitor, customer)
    async with database.begin() as connection:
        await undo(connection, merge.id, "ops")
    async with database.begin() as connection:
        after = await profiles.get_batch(connection, [visitor, customer])
        # What the customer said since goes with the customer; the rest is as it was.
        assert after[customer].attributes == {"tier": "gold", "points": 5}
        for name in ("attributes", "addresses", "tags", "external_id", "key", "merged_into"):
            assert getattr(after[visitor], name) == getattr(before[visitor], name), name
        for name in ("addresses", "tags", "external_id", "key", "merged_into"):
            assert getattr(after[customer], name) == getattr(before[customer], name), name
        assert await owner(connection, "anonymous_id", "a-1") == visitor
        assert (
            await owner(connection, "phone", PHONE)
            == await owner(connection, "external_id", "c-1")
            == customer
        )
    # The same word again does not merge them again.
    await say(database, identify("c-1", "a-1"), after=5)
    async with database.begin() as connection:
        assert await owner(connection, "anonymous_id", "a-1") == visitor
        assert await owner(connection, "external_id", "c-1") == customer


async def test_undoing_gives_back_lists_that_both_were_on_and_the_stage_of_each(world: World) -> None:
    await world.apply(WELCOME, catalogue=CATALOGUE + "segments: {testers: {list: true}}\n")
    await say(world.database, identify(visitor="a-1", segments=["testers"], tags=["vip"]))
    await say(world.database, identify("c-1", segments=["testers"]), after=1)
    async with world.database.begin() as connection:
        customer = await owner(connection, "external_id", "c-1")
        await profiles.change_batch(connection, [profiles.Change(customer, stage="gold")])
    await say(world.database, identify("c-1", "a-1"), after=2)
    await say(world.database, identify("c-1", tags=["vip"]), after=3)
    async with world.database.begin() as connection:
        ((merge_id, survivor, loser),) = (
            await connection.execute(
                sa.text("SELECT id, CAST(survivor AS text), CAST(loser AS text) FROM merges")
            )
        ).all()
        assert (await profiles.get_batch(connection, [survivor]))[survivor].stage == "gold"
    await undo_merge(world.database, merge_id)
    async with world.database.begin() as connection:
        found = await profiles.get_batch(connection, [survivor, loser])
        assert {found[customer].stage, *(each.stage for each in found.values())} == {"gold", None}
        assert found[customer].stage == "gold"
        lists = await segments.of_profiles(connection, [survivor, loser])
        assert lists == {survivor: {"testers"}, loser: {"testers"}}
        assert "vip" in found[survivor].tags


async def test_two_customers_who_share_a_phone_are_put_on_the_list_and_not_merged(world: World) -> None:
    database = world.database
    await say(database, identify("c-1", phone=PHONE), identify("c-2", phone=PHONE))
    async with database.begin() as connection:
        first, second = (
            await owner(connection, "external_id", "c-1"),
            await owner(connection, "external_id", "c-2"),
        )
        assert first != second
        assert await owner(connection, "phone", PHONE) == first
        [review] = await reviews.listed(connection)
        assert (review.reason, review.kind, review.one, review.two, review.via) == (
            "two_of_a_kind", "external_id", ("external_id", "c-1"), ("external_id", "c-2"), ("phone", PHONE),
        )  # fmt: skip
        assert PHONE not in repr(review)
        merged = await decide(connection, review.id, "same", "ops")
        assert len(merged) == 1
        assert await owner(connection, "external_id", "c-1") == await owner(connection, "external_id", "c-2")
        assert await reviews.listed(connection) == []
    await say(database, identify("c-2", phone=PHONE), identify("c-1"))
    async with database.begin() as connection:
        assert await reviews.listed(connection) == []


async def test_people_can_say_that_two_customers_are_two(world: World) -> None:
    database = world.database
    await say(database, identify("c-1", phone=PHONE), identify("c-2", phone=PHONE))
    async with database.begin() as connection:
        [review] = await reviews.listed(connection)
        assert await decide(connection, review.id, "apart", "ops") == []
    await say(database, identify("c-2", phone=PHONE, email="c2@example.com"), after=2)
    async with database.begin() as connection:
        assert await reviews.listed(connection) == []
        assert [each.decision for each in await reviews.listed(connection, decided=True)] == ["apart"]
        assert await owner(connection, "external_id", "c-1") != await owner(connection, "external_id", "c-2")


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_shared_tablet_is_stopped_at_the_limit_and_reported(world: World, at_once: bool) -> None:
    many, limit = 1_000 if at_once else 130, 100
    calls = [identify(visitor=f"a-{n}", phone=PHONE) for n in range(many)]
    if at_once:
        await say(world.database, *calls)
    else:
        await say(world.database, *(cart(visitor=f"a-{n}") for n in range(many)))
        for start in range(0, many, 10):
            await say(world.database, *calls[start : start + 10])
    async with world.database.begin() as connection:
        tablet = await owner(connection, "phone", PHONE)
        own = (await identities.of_profiles(connection, [tablet]))[tablet]
        assert len([kind for kind, _ in own if kind == "anonymous_id"]) == limit
        [review] = await reviews.listed(connection)
        assert (review.reason, review.kind, review.one) == ("too_many", "anonymous_id", ("phone", PHONE))
    # What is over the limit is known, and costs no second look.
    await say(world.database, *calls[-5:], after=1)
    async with world.database.begin() as connection:
        assert len((await identities.of_profiles(connection, [tablet]))[tablet]) == limit + 1


async def test_an_event_that_came_while_its_profile_merged_is_routed_for_the_survivor(world: World) -> None:
    await world.apply(WELCOME)
    await say(world.database, identify(visitor="a-1"), identify("c-1"))
    await say(world.database, identify("c-1", "a-1"))
    async with world.database.begin() as connection:
        survivor = await owner(connection, "external_id", "c-1")
        [merge] = await merging.of_profile(connection, survivor)
        late = event_id("shop", "late")
        new = NewEvent(late, merge.loser, "cart.updated", START, START, "shop", "late", {})
        await events.insert_batch(connection, [new])
    await world.route(timedelta(minutes=3))
    [entered] = await world.enrolments("welcome")
    assert entered.profile_id == survivor
    async with world.database.connect() as connection:
        assert (await events.get_batch(connection, [late]))[late].profile_id == survivor


async def test_many_who_merge_the_same_at_once_end_with_one_customer(world: World) -> None:
    await say(world.database, *(identify(visitor=f"a-{n}") for n in range(12)), identify("c-1"))
    calls = [identify("c-1", f"a-{n}") for n in range(12)]
    await asyncio.gather(*(say(world.database, *calls[n::4], *calls[:2]) for n in range(4)))
    async with world.database.begin() as connection:
        [profile_id] = {await owner(connection, "anonymous_id", f"a-{n}") for n in range(12)}
        assert await owner(connection, "external_id", "c-1") == profile_id
        alive = await connection.execute(sa.text("SELECT count(*) FROM profiles WHERE merged_into IS NULL"))
        assert alive.scalar_one() == 1
