"""Crowds into journeys: slices on a real database, beside the router that lets in one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from engine.core.assignment import held_out
from engine.core.codec import digest, plan_to_json
from engine.core.identity import crowd_enrolment_id, one_per_text, profile_key, workflow_id
from engine.core.plan import Plan
from engine.ingest import crowds as asking
from engine.ingest import manual
from engine.ingest.book import Book
from engine.ingest.close import Close, record_closes
from engine.ingest.crowds import Crowds
from engine.ingest.heeded import Heeded
from engine.ingest.manual import EntryRefused
from engine.ingest.routing import route
from engine.store import clock, crowds, entries, journeys, merging, plans, profiles
from engine.store.clock import ScaledClock
from engine.store.crowd_members import Named
from engine.store.crowds import Crowd
from engine.store.enrolments import Enrolment
from engine.store.pool import pool_shard
from engine.store.shards import shard_of
from engine.store.tables import SHARDS
from tests.integration.ingest.world import START, World

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
Reenter = Literal["never", "after_exit", "restart"] | timedelta

SALE = """
journey: sale
run_as: pool
trigger: {manual: {plan: text}}
goal: {event: order.paid, within: 3d}
steps:
  - {id: rest, wait: {for: 5d}}
"""
CALL = """
journey: call
trigger: {manual: true}
steps:
  - {id: rest, wait: {until: "10:00"}}
"""


async def apply(world: World, text: str, reenter: Reenter = "after_exit", **changes: Any) -> Plan:
    """Makes a journey live; what the language has for events only is put into the plan."""
    (plan,) = (await world.apply(text)).values()
    plan = replace(plan, trigger=replace(plan.trigger, reenter=reenter), **changes)
    async with world.database.begin() as connection:
        await plans.put_batch(connection, {digest(plan): (plan.journey, plan_to_json(plan))})
        await journeys.apply_batch(connection, {plan.journey: (digest(plan), "")})
    return plan


async def people(world: World, count: int, tags: tuple[str, ...] = ()) -> list[str]:
    return [await world.profile(f"c{number}", tags) for number in range(count)]


async def ask(world: World, journey: str = "sale", listed: Sequence[Named] | None = None, **more: Any) -> str:
    tag = more.pop("tag", None)
    async with world.database.begin() as connection:
        return (await asking.ask(connection, journey, more, tag=tag, listed=listed)).crowd.id


async def run(world: World, crowd_id: str, limit: int = 3) -> Crowd:
    """Works on a crowd to the end."""
    worker = Crowds(world.database, limit=limit, wall=lambda: world.now)
    while not (crowd := await worker.advance(crowd_id) or pytest.fail("the crowd is gone")).over:
        pass
    return crowd


async def let_in(world: World, journey: str = "sale", **more: Any) -> Crowd:
    return await run(world, await ask(world, journey, **more))


async def by_hand(world: World, profile_id: str, after: timedelta, journey: str = "sale") -> str:
    """Asks for an entry of one customer; the id of the enrolment, if it is let in."""
    async with world.database.begin() as connection:
        at = START + after
        asked = await manual.enter_manually(connection, journey, profile_id, {}, f"{profile_id}/{at}", at)
    return asked.enrolment_id


async def end(world: World, enrolment_id: str, after: timedelta) -> None:
    """Ends an enrolment as the pool does, which has the end routed only where somebody waits for it."""
    async with world.database.begin() as connection:
        await record_closes(connection, [Close(enrolment_id, "completed", START + after)], Heeded())


async def rows(world: World, table: str) -> list[sa.RowMapping]:
    async with world.database.connect() as connection:
        return list((await connection.execute(sa.text(f"SELECT * FROM {table}"))).mappings())


def who(found: Sequence[Enrolment]) -> list[str]:
    return sorted(one.profile_id for one in found)


async def test_everybody_enters_at_one_instant_and_gets_what_the_pool_needs(world: World) -> None:
    plan = await apply(world, SALE)
    ids = await people(world, 8)
    world.now = START + MINUTE
    crowd = await let_in(world, plan="trial")
    assert (crowd.status, crowd.total, crowd.looked, crowd.entered) == ("entered", 8, 8, 8)
    assert (crowd.refused, crowd.entered_at) == ({}, world.now)

    found = await world.enrolments("sale")
    assert who(found) == sorted(ids)
    for one in found:
        assert one.id == crowd_enrolment_id("sale", one.profile_key, "null", crowd.id, one.profile_id)
        assert (one.digest, one.driver, one.one_per) == (digest(plan), "pool", one_per_text(None))
        assert one.trigger == {"plan": "trial", "id": crowd.id}
        assert (one.entered_at, one.trigger_event_id, one.holdout) == (world.now, None, False)
    assert [one.id for one in sorted(found, key=lambda one: one.profile_id)] == sorted(o.id for o in found)
    shards = {str(row["id"]): row["shard"] for row in await rows(world, "enrolments")}
    assert shards == {one.id: shard_of(one.profile_id) for one in found}
    waiting = {str(row["enrolment_id"]): row for row in await rows(world, "pool_rows")}
    assert {i: row["shard"] for i, row in waiting.items()} == {o.id: pool_shard(o.profile_id) for o in found}
    assert all(row["state"] is None for row in waiting.values())
    assert await rows(world, "start_outbox") == []
    assert await rows(world, "entry_states") == []


async def test_for_workflows_the_outbox_holds_what_the_router_would_have_put_there(world: World) -> None:
    await apply(world, CALL, holdout=5_000)
    first = await world.profile("c0")
    await by_hand(world, first, MINUTE, "call")
    await world.route(until=MINUTE)
    (routed,) = await rows(world, "start_outbox")
    for number in range(1, 9):
        await world.profile(f"c{number}")
    crowd = await let_in(world, "call")
    assert (crowd.entered, crowd.refused) == (8, {"live": 1})

    starts = [row for row in await rows(world, "start_outbox") if row["id"] != routed["id"]]
    found = {one.id: one for one in await world.enrolments("call") if one.trigger_event_id is None}
    assert {str(row["enrolment_id"]) for row in starts} == set(found)
    for row in starts:
        one = found[str(row["enrolment_id"])]
        assert one.workflow_id == row["workflow_id"] == workflow_id("call", one.id)
        assert row["payload"].keys() == routed["payload"].keys()
        assert row["payload"] == {
            "journey": "call",
            "digest": one.digest,
            "enrolment_id": one.id,
            "key": one.profile_key,
            "trigger_event_id": one.id,
            "entered_at": one.entered_at.isoformat(),
            "holdout": one.holdout,
        }
        assert (row["kind"], row["journey"], row["acts"]) == ("start", "call", not one.holdout)
    assert {one.holdout for one in found.values()} == {True, False}
    assert await rows(world, "pool_rows") == []


async def test_a_scaled_clock_goes_along_to_workflows(world: World) -> None:
    async with world.database.begin() as connection:
        await clock.save(connection, ScaledClock(START, START, 60.0, timedelta(seconds=1)))
    await apply(world, CALL)
    await world.profile("c0")
    world.now = START + MINUTE
    crowd = await let_in(world, "call")
    assert crowd.entered_at == START + 60 * MINUTE
    (row,) = await rows(world, "start_outbox")
    assert row["payload"]["scale"]["speed"] == 60.0


async def test_the_holdout_is_that_of_single_entries(world: World) -> None:
    await apply(world, SALE, holdout=3_000)
    async with world.database.begin() as connection:
        made = [profiles.NewProfile(pid(n), profile_key("external_id", f"c{n}")) for n in range(400)]
        await profiles.make_batch(connection, made)
    crowd = await run(world, await ask(world), limit=1_000)
    assert crowd.entered == 400
    found = await world.enrolments("sale")
    assert {one.profile_key for one in found if one.holdout} == {
        one.key for one in made if held_out("sale", 3_000, one.key)
    }
    assert 60 < sum(one.holdout for one in found) < 180


def pid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


# --- who is let in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reenter", ["never", "after_exit", "restart", 7 * DAY], ids=str)
@pytest.mark.parametrize("before", ["router", "crowd"])
async def test_the_rules_are_those_of_the_router(world: World, reenter: Reenter, before: str) -> None:
    """The same past, once followed by a crowd, once by single entries: the same people enter."""
    everybody = await people(world, 5)
    new, live, ended, long_ago, ends_later = everybody
    for journey in ("one", "all"):
        await apply(world, SALE.replace("sale", journey), reenter)
        for profile_id, entered, ended_at in (
            (live, DAY, None),
            (ended, DAY, 2 * DAY),
            (long_ago, -20 * DAY, -10 * DAY),
            (ends_later, DAY, 6 * DAY),
        ):
            world.now = START + entered
            if before == "router":
                enrolment = await by_hand(world, profile_id, entered, journey)
                await world.route()
            else:
                named = [Named(profile_id=profile_id)]
                assert (await let_in(world, journey, listed=named)).entered == 1
                (enrolment,) = [
                    one.id for one in await world.enrolments(journey) if one.profile_id == profile_id
                ]
            if ended_at is not None:
                await end(world, enrolment, ended_at)
    past = {one.id for journey in ("one", "all") for one in await world.enrolments(journey)}
    world.now = START + 5 * DAY
    for profile_id in everybody:
        await by_hand(world, profile_id, 5 * DAY, "one")
    await world.route()
    crowd = await let_in(world, "all")
    await world.route()

    singly = [one for one in await world.enrolments("one") if one.id not in past]
    together = [one for one in await world.enrolments("all") if one.id not in past]
    assert who(together) == who(singly)
    assert crowd.looked == crowd.entered + crowd.restarted + sum(crowd.refused.values()) == 5
    async with world.database.connect() as connection:
        assert await entries.missed(connection, "all") == await entries.missed(connection, "one")
    expected = {
        "never": [new],
        "after_exit": [new, ended, long_ago],
        "restart": everybody,
        str(7 * DAY): [new, long_ago],
    }[str(reenter)]
    assert who(together) == sorted(expected)
    exits = {one.exit for one in await world.enrolments("all") if one.profile_id == live and one.id in past}
    assert exits == ({"superseded"} if reenter == "restart" else {None})


async def test_into_a_paused_journey_nobody_enters_and_all_are_counted(world: World) -> None:
    await apply(world, SALE)
    await people(world, 4)
    await world.set_status("sale", "paused")
    crowd = await let_in(world)
    assert (crowd.status, crowd.entered, crowd.refused) == ("entered", 0, {"paused": 4})
    assert await world.enrolments("sale") == []
    async with world.database.connect() as connection:
        assert await entries.missed(connection, "sale") == {"paused": 4}


async def test_a_crowd_into_a_journey_that_is_archived_meanwhile_fails(world: World) -> None:
    await apply(world, SALE)
    await people(world, 2)
    crowd_id = await ask(world)
    await world.set_status("sale", "archived")
    crowd = await run(world, crowd_id)
    assert (crowd.status, crowd.entered) == ("failed", 0)
    assert crowd.error == "journey 'sale' is archived: nobody else enters"


async def test_what_was_asked_for_is_what_is_entered_whatever_is_applied_meanwhile(world: World) -> None:
    plan = await apply(world, SALE)
    await people(world, 2)
    crowd_id = await ask(world)
    await apply(world, SALE.replace("5d", "6d"))
    await run(world, crowd_id)
    assert {one.digest for one in await world.enrolments("sale")} == {digest(plan)}


async def test_only_who_has_the_tag_is_looked_at(world: World) -> None:
    await apply(world, SALE)
    await people(world, 7)
    staff = [await world.profile(f"s{number}", ("staff",)) for number in range(3)]
    crowd = await let_in(world, tag="staff")
    assert (crowd.total, crowd.looked, crowd.entered) == (3, 3, 3)
    assert who(await world.enrolments("sale")) == sorted(staff)


async def test_a_journey_that_takes_nobody_in_by_hand_refuses_in_words(world: World) -> None:
    await apply(world, SALE)
    await world.apply("journey: bought\ntrigger: {event: order.paid}\nsteps: [{id: a, wait: {for: 1h}}]")
    with pytest.raises(EntryRefused, match=r"entered by the event 'order\.paid'"):
        await ask(world, "bought")
    with pytest.raises(EntryRefused, match="there is no journey 'nothing'"):
        await ask(world, "nothing")
    with pytest.raises(EntryRefused, match=r"takes no plam; it takes: plan \(text\)"):
        await ask(world, plam="trial")


# --- lists and merged customers -------------------------------------------------------------------------


async def test_a_list_counts_each_customer_once_and_says_whom_it_does_not_know(world: World) -> None:
    await apply(world, SALE)
    ids = await people(world, 3)
    listed = [
        Named("c0"),
        Named("nobody"),
        Named("external_id:c0", "external_id", "c0"),
        Named(kind="external_id", value="c1"),
        Named(kind="email", value="c1"),
        Named(ids[2], profile_id=ids[2]),
    ]
    async with world.database.begin() as connection:
        asked = await asking.ask(connection, "sale", {}, listed=listed, unreadable=2)
    assert (asked.not_one, asked.crowd.total, asked.crowd.unknown) == ({1: 0, 4: 0}, 3, 4)
    await world.profile("not on it")
    crowd = await run(world, asked.crowd.id, limit=2)
    assert (crowd.looked, crowd.entered) == (3, 3)
    assert who(await world.enrolments("sale")) == sorted(ids)
    assert await rows(world, "crowd_members") == []


async def test_an_identifier_of_two_customers_enters_neither(world: World) -> None:
    await apply(world, SALE)
    one, two = await people(world, 2)
    async with world.database.begin() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO identities (kind, value, profile_id) "
                "VALUES ('wechat', 'x', :one), ('push', 'x', :two)"
            ),
            {"one": one, "two": two},
        )
        asked = await asking.ask(connection, "sale", {}, listed=[Named("x"), Named("push:x", "push", "x")])
    assert asked.not_one == {0: 2}
    await run(world, asked.crowd.id)
    assert who(await world.enrolments("sale")) == [two]


async def test_who_is_merged_before_or_meanwhile_enters_once_as_who_lives_on(world: World) -> None:
    await apply(world, SALE)
    ids = sorted(await people(world, 4))
    crowd_id = await ask(world, listed=[Named(profile_id=each) for each in ids])
    async with world.database.begin() as connection:
        await merging.merge(connection, ids[3], ids[1])
    worker = Crowds(world.database, limit=2)
    for _ in range(2):  # begun, and the first slice is in: with it who was merged into the last
        await worker.advance(crowd_id)
    assert who(await world.enrolments("sale")) == [ids[0], ids[3]]
    # Their journeys end at once: being live is not what keeps them from entering again.
    for one in await world.enrolments("sale"):
        await end(world, one.id, timedelta(0))
    crowd = await run(world, crowd_id, limit=2)
    assert who(await world.enrolments("sale")) == [ids[0], ids[2], ids[3]]
    assert crowd.refused == {"live": 1}


# --- crashes, cancelling, two at once -------------------------------------------------------------------


async def test_a_crowd_that_is_cut_off_goes_on_where_it_was(world: World) -> None:
    await apply(world, SALE)
    ids = await people(world, 10)
    crowd_id = await ask(world)
    for _ in range(3):  # each time another process, that dies after one piece
        await Crowds(world.database, limit=4, wall=lambda: world.now).advance(crowd_id)
    assert len(await world.enrolments("sale")) == 8
    crowd = await run(world, crowd_id, limit=4)
    assert (crowd.looked, crowd.entered, crowd.refused) == (10, 10, {})
    assert who(await world.enrolments("sale")) == sorted(ids)
    assert len(await rows(world, "pool_rows")) == 10


async def test_a_slice_that_is_rolled_back_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(world, SALE)
    await people(world, 5)
    crowd_id = await ask(world)
    worker = Crowds(world.database, limit=3)
    await worker.advance(crowd_id)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(crowds, "advance", dies)
        with pytest.raises(RuntimeError, match="killed"):
            await worker.advance(crowd_id)
    assert await rows(world, "enrolments") == await rows(world, "pool_rows") == []
    assert (await run(world, crowd_id)).entered == 5


async def test_several_at_one_crowd_enter_nobody_twice(world: World) -> None:
    await apply(world, SALE)
    ids = await people(world, 30)
    crowd_id = await ask(world)
    ended = await asyncio.gather(*(run(world, crowd_id, limit=4) for _ in range(4)))
    assert {(one.looked, one.entered) for one in ended} == {(30, 30)}
    assert who(await world.enrolments("sale")) == sorted(ids)


async def test_a_cancelled_crowd_lets_nobody_else_in(world: World) -> None:
    await apply(world, SALE)
    await people(world, 6)
    crowd_id = await ask(world)
    worker = Crowds(world.database, limit=2)
    for _ in range(2):
        await worker.advance(crowd_id)
    stopped = await worker.stop(crowd_id)
    assert stopped is not None
    assert (stopped.status, stopped.entered, stopped.looked) == ("cancelled", 2, 2)
    assert (await run(world, crowd_id)).entered == 2
    assert len(await world.enrolments("sale")) == 2
    async with world.database.begin() as connection:
        again = await asking.cancel(connection, crowd_id)
    assert again is not None
    assert again.over


async def test_a_slice_looks_customers_up_one_by_one_whatever_the_statistics_say(world: World) -> None:
    """They know nothing of a journey that is just being entered."""
    await apply(world, SALE)
    await apply(world, CALL)
    async with world.database.begin() as connection:
        made = [profiles.NewProfile(pid(n), profile_key("external_id", f"c{n}")) for n in range(1_000)]
        await profiles.make_batch(connection, made)
    await run(world, await ask(world), limit=1_000)
    async with world.database.begin() as connection:
        await connection.execute(sa.text("ANALYZE enrolments"))
    assert (await run(world, await ask(world, "call"), limit=100)).entered == 1_000
    await world.database.dispose()  # connections tell what they did when they are closed
    async with asyncio.timeout(20):
        while True:
            if any((read := await tuples_read(world)).values()):
                break
            await asyncio.sleep(0.1)
    assert max(read.values()) < 10_000, read


async def tuples_read(world: World) -> dict[str, int]:
    async with world.database.connect() as connection:
        found = await connection.execute(
            sa.text(
                "SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'enrolments'"
            )
        )
        return {row.indexrelname: row.idx_tup_read for row in found}


# --- beside the router ----------------------------------------------------------------------------------


async def test_who_is_in_by_a_crowd_is_refused_by_the_router_until_it_has_ended(world: World) -> None:
    await apply(world, SALE)
    customer = await world.profile("c0")
    await let_in(world)
    (first,) = await world.enrolments("sale")
    await by_hand(world, customer, MINUTE)
    await world.route(until=MINUTE)
    assert len(await world.enrolments("sale")) == 1
    async with world.database.connect() as connection:
        assert await entries.missed(connection, "sale") == {"live": 1}
    await end(world, first.id, 2 * MINUTE)
    third = await by_hand(world, customer, 3 * MINUTE)
    await world.route(until=3 * MINUTE)
    assert [one.id for one in await world.enrolments("sale")] == [first.id, third]


async def test_a_trigger_that_came_after_an_end_not_known_yet_enters_after_all(world: World) -> None:
    """As between two single entries: drivers learn of an end later than it happened."""
    await apply(world, SALE)
    customer = await world.profile("c0")
    await let_in(world)
    (first,) = await world.enrolments("sale")
    second = await by_hand(world, customer, 2 * MINUTE)
    await world.route(until=2 * MINUTE)
    await end(world, first.id, MINUTE)
    await world.route()
    assert [one.id for one in await world.enrolments("sale")] == [first.id, second]


async def test_the_router_learns_in_the_middle_of_a_batch_that_a_crowd_was_first(world: World) -> None:
    """The crowd has written its row and not committed; the router has read that nobody is live."""
    await apply(world, SALE)
    customer = await world.profile("c0")
    crowd_id = await ask(world)
    worker = Crowds(world.database, wall=lambda: world.now)
    await worker.advance(crowd_id)
    asked = await by_hand(world, customer, MINUTE)
    world.now = START + MINUTE
    async with world.database.begin() as connection:
        await worker._slice(connection, crowd_id)
        routing = asyncio.create_task(world.route())
        await blocked(world)
    await asyncio.wait_for(routing, 20)
    (one,) = await world.enrolments("sale")
    assert one.id != asked
    async with world.database.connect() as connection:
        assert await entries.missed(connection, "sale") == {"live": 1}
    (state,) = await rows(world, "entry_states")
    assert str(state["live_id"]) == one.id
    assert world.router.tally.broken == 0


async def test_a_crowd_learns_in_the_middle_of_a_slice_that_the_router_was_first(world: World) -> None:
    await apply(world, SALE)
    first, second = sorted(await people(world, 2))
    crowd_id = await ask(world)
    worker = Crowds(world.database, wall=lambda: world.now)
    await worker.advance(crowd_id)
    asked = await by_hand(world, first, MINUTE)
    world.now = START + MINUTE
    async with world.database.begin() as connection:
        await route(connection, range(SHARDS), Book(), await world.router.time(connection))
        entering = asyncio.create_task(worker.advance(crowd_id))
        await blocked(world)
    crowd = await asyncio.wait_for(entering, 20)
    assert crowd is not None
    assert (crowd.entered, crowd.refused) == (1, {"live": 1})
    found = await world.enrolments("sale")
    assert who(found) == [first, second]
    assert asked in {one.id for one in found}
    assert len(await rows(world, "pool_rows")) == 2


async def blocked(world: World) -> None:
    """Until somebody waits for what another transaction has written."""
    async with asyncio.timeout(20):
        while True:
            async with world.database.connect() as connection:
                waiting = await connection.scalar(
                    sa.text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                        "AND wait_event_type = 'Lock'"
                    )
                )
            if waiting:
                return
            await asyncio.sleep(0.02)


async def test_a_goal_between_the_instant_of_entry_and_the_row_is_not_lost(world: World) -> None:
    await apply(world, SALE)
    ids = sorted(await people(world, 4))
    names = {await world.profile(f"c{number}"): f"c{number}" for number in range(4)}
    crowd_id = await ask(world)
    worker = Crowds(world.database, limit=2, wall=lambda: world.now)
    for _ in range(2):  # entering, and the first two are in
        await worker.advance(crowd_id)
    early, late = names[ids[0]], names[ids[3]]
    await world.event("order.paid", -MINUTE, of=names[ids[2]])
    await world.event("order.paid", MINUTE, of=early)
    goal = await world.event("order.paid", MINUTE, of=late)
    await world.route(until=MINUTE)
    assert [str(row["event_id"]) for row in await rows(world, "crowd_events")] == [goal]
    crowd = await run(world, crowd_id, limit=2)
    assert crowd.entered == 4
    found = {one.profile_id: one for one in await world.enrolments("sale")}
    assert {p for p, one in found.items() if one.converted_at == START + MINUTE} == {ids[0], ids[3]}
    inboxes = {str(row["enrolment_id"]): row["inbox"] for row in await rows(world, "pool_rows")}
    (told,) = inboxes[found[ids[3]].id]
    assert (told["id"], told["held"]) == (goal, ["goal"])
    assert len(inboxes[found[ids[0]].id]) == 1
    assert inboxes[found[ids[1]].id] is inboxes[found[ids[2]].id] is None
    assert await rows(world, "crowd_events") == []
