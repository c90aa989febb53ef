"""What reaches live enrolments, what converts, and what a crash or a broken event does."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ingest import routing
from engine.ingest.close import close_enrolment
from engine.ingest.manual import EntryRefused, cancel, enter_manually
from engine.ingest.reconcile import reconcile
from engine.ingest.recording import record_event
from engine.store import consents, enrolments, events, starts
from engine.store.consents import Consent
from tests.integration.ingest.world import START, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

WAITING = """
journey: waiting
trigger: {event: cart.updated, one_per: event.cart_id, reenter: never}
goal: {event: order.paid, where: event.cart_id == trigger.cart_id, within: 3d}
exit_when:
  - {event: cart.emptied, where: event.cart_id == trigger.cart_id}
steps:
  - id: look
    wait:
      first_of:
        - {event: message.clicked, steps: []}
        - {event: cart.emptied, steps: []}
        - {event: cart.updated, where: event.total > trigger.total, steps: []}
      up_to: 1d
  - {id: anyone, wait: {for_event: message.opened, any: true, up_to: 1d}}
"""


async def entered(world: World, of: str = "c1", cart: str = "k1", total: int = 10) -> enrolments.Enrolment:
    trigger = await world.event("cart.updated", of=of, cart_id=cart, total=total)
    await world.route(until=SECOND)
    (found,) = [e for e in await world.enrolments("waiting") if e.trigger_event_id == trigger]
    return found


async def message_event(world: World, name: str, enrolment_id: str, of: str = "c1") -> None:
    profile_id = await world.profile(of)
    async with world.database.begin() as connection:
        await record_event(
            connection,
            profile_id,
            name,
            START + MINUTE,
            uuid.uuid4().hex,
            {"enrolment_id": enrolment_id, "step": "s"},
        )


async def test_a_new_enrolment_says_where_it_stands(world: World) -> None:
    await world.apply(
        """
journey: waiting
trigger: {event: cart.updated}
steps:
  - id: half
    split:
      variants:
        - {name: all, weight: 100, steps: [{id: rest, wait: {for: 1d}}]}
"""
    )
    one = await entered(world)
    assert (one.step, one.variants) == ("rest", {"half": "all"})


async def test_a_wake_lists_the_conditions_that_hold_and_no_values(world: World) -> None:
    await world.apply(WAITING)
    one = await entered(world)
    event = await world.event("cart.emptied", MINUTE, cart_id="k1")
    await world.route(until=MINUTE)
    (wake,) = await world.wakes(one.id)
    assert wake["id"] == event
    assert wake["held"] == ["exit.0", "look.1"]
    assert wake["occurred_at"] == (START + MINUTE).isoformat()
    assert "k1" not in str(wake)


async def test_an_enrolment_never_sees_its_own_trigger_and_others_see_it(world: World) -> None:
    await world.apply(WAITING)
    first = await entered(world, cart="k1", total=10)
    await world.event("cart.updated", MINUTE, cart_id="k2", total=20)
    await world.route(until=MINUTE)
    _, second = await world.enrolments("waiting")
    assert [w["held"] for w in await world.wakes(first.id)] == [["look.2"]]
    assert await world.wakes(second.id) == []


async def test_where_compares_with_the_trigger_of_each_enrolment(world: World) -> None:
    await world.apply(WAITING)
    first = await entered(world, cart="k1")
    second = await entered(world, cart="k2")
    await world.event("order.paid", MINUTE, cart_id="k2")
    await world.route(until=MINUTE)
    assert await world.wakes(first.id) == []
    assert [wake["held"] for wake in await world.wakes(second.id)] == [["goal"]]


async def test_message_events_reach_only_the_enrolment_that_sent_it_unless_any(world: World) -> None:
    await world.apply(WAITING)
    first = await entered(world, cart="k1")
    second = await entered(world, cart="k2")
    await message_event(world, "message.clicked", first.id)
    await message_event(world, "message.opened", first.id)
    await world.route(until=MINUTE)
    assert [wake["held"] for wake in await world.wakes(first.id)] == [["look.0"], ["anyone.0"]]
    assert [wake["held"] for wake in await world.wakes(second.id)] == [["anyone.0"]]


async def test_an_event_that_occurred_before_entry_is_not_for_the_enrolment(world: World) -> None:
    await world.apply(WAITING)
    one = await entered(world)
    await world.event("order.paid", -MINUTE, cart_id="k1")
    await world.route(until=MINUTE)
    assert await world.wakes(one.id) == []
    (again,) = await world.enrolments("waiting")
    assert again.converted_at is None


async def test_a_late_trigger_still_sees_what_was_routed_before_it(world: World) -> None:
    await world.apply(WAITING)
    await world.event("order.paid", 20 * SECOND, cart_id="k1")
    await world.route(until=30 * SECOND)
    await world.event("cart.updated", 10 * SECOND, cart_id="k1", total=1)
    await world.route(until=40 * SECOND)
    (one,) = await world.enrolments("waiting")
    assert [wake["held"] for wake in await world.wakes(one.id)] == [["goal"]]
    assert one.converted_at == START + 20 * SECOND
    assert [kind for kind, _, _ in await world.outbox()] == ["start", "wake"]


async def test_a_goal_converts_after_the_end_but_not_after_its_time(world: World) -> None:
    await world.apply(WAITING)
    soon, late = await entered(world, cart="k1"), await entered(world, of="c2", cart="k2")
    async with world.database.begin() as connection:
        for one in (soon, late):
            await close_enrolment(connection, one.id, "completed", None, START + DAY)
    await world.event("order.paid", 2 * DAY, of="c1", cart_id="k1")
    await world.event("order.paid", 4 * DAY, of="c2", cart_id="k2")
    await world.route(until=4 * DAY)
    rows = {e.id: e for e in await world.enrolments("waiting")}
    assert rows[soon.id].converted_at == START + 2 * DAY
    assert rows[soon.id].exit == "completed"
    assert rows[late.id].converted_at is None
    assert await world.wakes() == []


async def test_a_router_killed_before_it_commits_repeats_the_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply(WAITING)
    written = routing._write

    async def killed(*args: Any) -> None:
        await written(*args)
        raise asyncio.CancelledError  # as the process dies: nothing is caught, nothing committed

    with monkeypatch.context() as patch:
        patch.setattr(routing, "_write", killed)
        trigger = await world.event("cart.updated", cart_id="k1", total=1)
        await world.route(until=SECOND)
    assert await world.enrolments("waiting") == []
    assert await world.outbox() == []
    await world.route(until=SECOND)
    (one,) = await world.enrolments("waiting")
    assert one.trigger_event_id == trigger
    assert [kind for kind, _, _ in await world.outbox()] == ["start"]


async def test_a_broken_event_is_passed_over_and_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.apply(WAITING)
    taken = routing._Turn.take

    def breaks(turn: Any, event: Any) -> None:
        if event.properties.get("cart_id") == "bad":
            raise ZeroDivisionError
        taken(turn, event)

    monkeypatch.setattr(routing._Turn, "take", breaks)
    await world.event("cart.updated", cart_id="k1", total=1)
    bad = await world.event("cart.updated", cart_id="bad", total=1)
    await world.event("cart.updated", cart_id="k3", total=1)
    await world.route(until=SECOND)
    assert [e.trigger["cart_id"] for e in await world.enrolments("waiting")] == ["k1", "k3"]
    assert world.router.tally.broken == 1
    async with world.database.connect() as connection:
        assert await events.broken(connection) == [(bad, "cart.updated", "ZeroDivisionError")]


async def test_withdrawing_all_marketing_consent_ends_what_is_live(world: World) -> None:
    await world.apply(WAITING)
    one = await entered(world)
    profile_id = await world.profile()

    async def consent(channel: str, granted: bool, after: timedelta) -> None:
        async with world.database.begin() as connection:
            await consents.add_batch(connection, [Consent(profile_id, channel, granted, START + after)])
        await world.event("consent.changed", after, channel=channel, granted=granted)
        await world.route(until=after)

    await consent("sms", True, 10 * SECOND)
    await consent("push", True, 11 * SECOND)
    await consent("sms", False, 12 * SECOND)
    assert [kind for kind, _, _ in await world.outbox()] == ["start"]
    await consent("push", False, 13 * SECOND)
    kind, enrolment_id, payload = (await world.outbox())[-1]
    assert (kind, enrolment_id) == ("control", one.id)
    assert (payload["action"], payload["exit"]) == ("end", "unsubscribed")


MANUAL = """
journey: by-hand
trigger: {manual: {plan: text}}
steps: [{id: pause, wait: {for: 1d}}]
"""


async def test_an_entry_by_hand_carries_its_properties_and_counts_once(world: World) -> None:
    await world.apply(MANUAL, WAITING)
    profile_id = await world.profile()
    for _ in range(2):
        async with world.database.begin() as connection:
            asked = await enter_manually(connection, "by-hand", profile_id, {"plan": "pro"}, "r1", START)
    assert asked.duplicate
    await world.route(until=SECOND)
    (one,) = await world.enrolments("by-hand")
    assert one.id == asked.enrolment_id
    assert one.trigger["plan"] == "pro"
    async with world.database.begin() as connection:
        with pytest.raises(EntryRefused, match=r"entered by the event 'cart\.updated'"):
            await enter_manually(connection, "waiting", profile_id, {}, "r2", START)
        with pytest.raises(EntryRefused, match="there is no journey"):
            await enter_manually(connection, "waitin", profile_id, {}, "r3", START)


async def test_cancelling_tells_a_live_enrolment_to_end(world: World) -> None:
    await world.apply(WAITING)
    one = await entered(world)
    async with world.database.begin() as connection:
        assert await cancel(connection, one.id, START + MINUTE)
        assert not await cancel(connection, str(uuid.uuid4()), START + MINUTE)
    kind, enrolment_id, payload = (await world.outbox())[-1]
    assert (kind, enrolment_id, payload["exit"]) == ("control", one.id, "cancelled")


async def test_reconciling_closes_the_terminated_and_restarts_the_lost(world: World) -> None:
    await world.apply(WAITING)
    rows = [await entered(world, of=f"c{n}", cart=f"k{n}") for n in range(3)]
    terminated, lost, fine = rows
    async with world.database.begin() as connection:
        played = await starts.open_starts(connection, [], {}, 10)
        await starts.mark_done(connection, [row.id for row in played])
        await connection.execute(sa.text("UPDATE enrolments SET created_at = created_at - interval '1 h'"))

    class Runner:
        async def standing(self, workflow_ids: Any) -> Any:
            known = {terminated.workflow_id: "terminated", fine.workflow_id: "running"}
            return {w: known[w] for w in workflow_ids if w in known}

    done = await reconcile(world.database, Runner(), START + MINUTE)
    assert (done.closed, done.restarted) == ((terminated.id,), (lost.id,))
    ended = {e.id: e.exit for e in await world.enrolments("waiting")}
    assert ended == {terminated.id: "cancelled", lost.id: None, fine.id: None}
    async with world.database.connect() as connection:
        assert [row.enrolment_id for row in await starts.open_starts(connection, [], {}, 10)] == [lost.id]
