"""Who enters, and when: events in the database, through the router, to enrolments and the outbox."""

from __future__ import annotations

from datetime import timedelta

from engine.core.identity import workflow_id
from engine.ingest.close import close_enrolment
from engine.store import clock
from engine.store.clock import ScaledClock
from tests.integration.ingest.world import START, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

CART = """
journey: unpaid-cart
trigger:
  event: cart.updated
  where: event.total >= 50 and not has_tag("staff")
  one_per: event.cart_id
  reenter: after_exit
  settle: 30m
  unless: {event: order.paid, where: event.cart_id == trigger.cart_id}
goal: {event: order.paid, where: event.cart_id == trigger.cart_id, within: 3d}
steps:
  - {id: pause, wait: {for: 1d}}
"""


async def test_an_event_becomes_an_enrolment_and_a_start_in_the_outbox(world: World) -> None:
    await world.apply(CART)
    trigger = await world.event("cart.updated", cart_id="k1", total=120)
    await world.route(until=MINUTE)
    assert await world.enrolments() == []
    await world.route(until=30 * MINUTE)

    (enrolment,) = await world.enrolments()
    assert enrolment.entered_at == START + 30 * MINUTE
    assert enrolment.trigger == {
        "cart_id": "k1",
        "total": 120,
        "name": "cart.updated",
        "id": trigger,
        "occurred_at": START.isoformat(),
    }
    ((kind, enrolment_id, payload),) = await world.outbox()
    assert (kind, enrolment_id) == ("start", enrolment.id)
    assert enrolment.workflow_id == workflow_id("unpaid-cart", enrolment.id)
    assert payload["entered_at"] == enrolment.entered_at.isoformat()
    assert payload["digest"] == enrolment.digest
    assert payload["trigger_event_id"] == trigger
    assert "k1" not in str(payload)


async def test_the_last_trigger_restarts_the_settling(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    last = await world.event("cart.updated", 20 * MINUTE, cart_id="k1", total=70)
    await world.route(until=31 * MINUTE)
    assert await world.enrolments() == []
    await world.route(until=50 * MINUTE)
    (enrolment,) = await world.enrolments()
    assert enrolment.trigger_event_id == last
    assert enrolment.entered_at == START + 50 * MINUTE


async def test_paying_while_it_settles_drops_the_entry(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.event("cart.updated", cart_id="k2", total=60)
    await world.event("order.paid", 10 * MINUTE, cart_id="k1")
    await world.route(until=40 * MINUTE)
    (enrolment,) = await world.enrolments()
    assert enrolment.trigger["cart_id"] == "k2"


async def test_where_is_judged_with_the_profile_at_arrival(world: World) -> None:
    await world.apply(CART)
    await world.profile("boss", tags=("staff",))
    await world.event("cart.updated", of="boss", cart_id="k1", total=60)
    await world.event("cart.updated", of="c2", cart_id="k2", total=49)
    await world.route(until=40 * MINUTE)
    assert await world.enrolments() == []


async def test_one_live_enrolment_per_value(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.event("cart.updated", cart_id="k2", total=60)
    await world.event("cart.updated", 40 * MINUTE, cart_id="k1", total=60)
    await world.route(until=2 * DAY)
    carts = sorted(enrolment.trigger["cart_id"] for enrolment in await world.enrolments())
    assert carts == ["k1", "k2"]
    assert await world.missed() == {"live": 1}


SIMPLE = """
journey: hello
trigger:
  event: cart.updated
  reenter: {reenter}
goal: {{event: order.paid, within: 3d}}
steps:
  - {{id: pause, wait: {{for: 1d}}}}
"""


def hello(reenter: str) -> str:
    return SIMPLE.format(reenter=reenter)


async def close(world: World, enrolment_id: str, after: timedelta) -> bool:
    async with world.database.begin() as connection:
        return await close_enrolment(connection, enrolment_id, "completed", None, START + after)


async def test_never_means_once_in_a_life(world: World) -> None:
    await world.apply(hello("never"))
    await world.event("cart.updated")
    await world.route(until=MINUTE)
    (first,) = await world.enrolments("hello")
    assert await close(world, first.id, 2 * MINUTE)
    await world.event("cart.updated", 5 * MINUTE)
    await world.route(until=6 * MINUTE)
    assert len(await world.enrolments("hello")) == 1
    assert await world.missed("hello") == {"never_again": 1}


async def test_after_exit_the_next_trigger_enters(world: World) -> None:
    await world.apply(hello("after_exit"))
    await world.event("cart.updated")
    await world.event("cart.updated", MINUTE)
    await world.route(until=MINUTE)
    (first,) = await world.enrolments("hello")
    await close(world, first.id, 2 * MINUTE)
    await world.event("cart.updated", 5 * MINUTE)
    await world.route(until=5 * MINUTE)
    _, second = await world.enrolments("hello")
    assert second.entered_at == START + 5 * MINUTE


async def test_a_trigger_after_an_end_that_was_recorded_late_enters_after_all(world: World) -> None:
    await world.apply(hello("after_exit"))
    await world.event("cart.updated")
    await world.route(until=MINUTE)
    (first,) = await world.enrolments("hello")
    contested = await world.event("cart.updated", 5 * MINUTE)
    await world.route(until=5 * MINUTE)
    assert len(await world.enrolments("hello")) == 1
    await close(world, first.id, 4 * MINUTE)
    await world.route(until=5 * MINUTE + timedelta(seconds=1))
    _, second = await world.enrolments("hello")
    assert second.trigger_event_id == contested
    assert second.entered_at == START + 5 * MINUTE


async def test_the_first_goal_converts_although_a_later_one_is_routed_with_the_entry(world: World) -> None:
    await world.apply(hello("after_exit"))
    await world.event("cart.updated")
    await world.route(until=MINUTE)
    (first,) = await world.enrolments("hello")
    await world.event("cart.updated", 5 * MINUTE)
    await world.route(until=5 * MINUTE)
    await world.event("order.paid", 6 * MINUTE)
    await world.route(until=6 * MINUTE)
    await close(world, first.id, 4 * MINUTE)
    await world.event("order.paid", 7 * MINUTE)
    await world.route(until=7 * MINUTE)
    _, second = await world.enrolments("hello")
    assert second.entered_at == START + 5 * MINUTE
    assert second.converted_at == START + 6 * MINUTE


async def test_closing_twice_changes_nothing(world: World) -> None:
    await world.apply(hello("after_exit"))
    await world.event("cart.updated")
    await world.route(until=MINUTE)
    (first,) = await world.enrolments("hello")
    assert await close(world, first.id, 2 * MINUTE)
    assert not await close(world, first.id, 9 * MINUTE)
    (again,) = await world.enrolments("hello")
    assert again.ended_at == START + 2 * MINUTE


async def test_restart_supersedes_the_live_one_in_the_same_moment(world: World) -> None:
    await world.apply(hello("restart"))
    for number in range(3):
        await world.event("cart.updated", number * SECOND)
    await world.route(until=MINUTE)
    first, second, third = await world.enrolments("hello")
    assert [e.exit for e in (first, second, third)] == ["superseded", "superseded", None]
    assert first.ended_at == second.entered_at == START + SECOND
    played = await world.outbox()
    assert [kind for kind, _, _ in played] == ["start"] * 3 + ["control"] * 2
    assert {enrolment for kind, enrolment, _ in played if kind == "control"} == {first.id, second.id}
    assert [p["exit"] for kind, _, p in played if kind == "control"] == ["superseded"] * 2


async def test_every_counts_from_the_last_entry(world: World) -> None:
    await world.apply(hello("{every: 7d}"))
    await world.event("cart.updated")
    await world.route(until=MINUTE)
    (first,) = await world.enrolments("hello")
    await close(world, first.id, MINUTE)
    await world.event("cart.updated", 6 * DAY)
    await world.route(until=6 * DAY)
    await world.event("cart.updated", 7 * DAY)
    await world.route(until=7 * DAY)
    assert [e.entered_at for e in await world.enrolments("hello")] == [START, START + 7 * DAY]
    assert await world.missed("hello") == {"too_soon": 1}


async def test_a_paused_journey_counts_who_would_have_entered(world: World) -> None:
    await world.apply(hello("after_exit"))
    await world.set_status("hello", "paused")
    await world.event("cart.updated", of="c1")
    await world.event("cart.updated", of="c2")
    await world.route(until=MINUTE)
    assert await world.enrolments("hello") == []
    assert await world.missed("hello") == {"paused": 2}
    await world.set_status("hello", "live")
    await world.event("cart.updated", 2 * MINUTE, of="c1")
    await world.route(until=2 * MINUTE)
    assert len(await world.enrolments("hello")) == 1


async def test_nobody_enters_an_archived_journey_also_not_by_a_settling_that_was_pending(
    world: World,
) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.route(until=MINUTE)
    await world.set_status("unpaid-cart", "archived")
    await world.route(until=DAY)
    assert await world.enrolments() == []
    await world.set_status("unpaid-cart", "live")
    await world.route(until=DAY)
    assert await world.enrolments() == []


async def test_a_trigger_that_comes_in_late_is_dropped_by_what_followed_it(world: World) -> None:
    await world.apply(CART)
    await world.event("order.paid", 10 * MINUTE, cart_id="k1")
    await world.route(until=12 * MINUTE)
    await world.event("cart.updated", 5 * MINUTE, cart_id="k1", total=60)
    await world.route(until=DAY)
    assert await world.enrolments() == []


async def test_an_event_in_time_wins_although_it_comes_in_after_the_settling_was_due(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.event("order.paid", 30 * MINUTE, cart_id="k1")
    await world.route(until=31 * MINUTE)
    assert await world.enrolments() == []


async def test_a_settling_is_judged_before_an_event_that_occurred_later(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.event("order.paid", 31 * MINUTE, cart_id="k1")
    await world.route(until=31 * MINUTE)
    (enrolment,) = await world.enrolments()
    assert enrolment.entered_at == START + 30 * MINUTE
    (wake,) = await world.wakes(enrolment.id)
    assert wake["held"] == ["goal"]
    assert enrolment.converted_at == START + 31 * MINUTE


async def test_after_an_outage_an_overdue_settling_enters_at_the_actual_time(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.route(until=MINUTE)
    await world.route(until=50 * MINUTE)
    (enrolment,) = await world.enrolments()
    assert enrolment.entered_at == START + 50 * MINUTE


async def test_a_small_batch_never_judges_a_settling_before_events_that_come_first(world: World) -> None:
    await world.apply(CART)
    await world.event("cart.updated", cart_id="k1", total=60)
    for minute in range(1, 10):
        await world.event("page.viewed", minute * MINUTE)
    await world.event("order.paid", 10 * MINUTE, cart_id="k1")
    world.router.batch = 2
    await world.route(until=31 * MINUTE)
    assert await world.enrolments() == []


async def test_scaled_time_enters_at_the_deadline_once_the_grace_is_over(world: World) -> None:
    await world.apply(CART)
    ticking = ScaledClock(START, START, speed=60.0, grace=timedelta(seconds=2))
    async with world.database.begin() as connection:
        await clock.save(connection, ticking)
    await world.event("cart.updated", cart_id="k1", total=60)
    await world.route(until=timedelta(seconds=31))  # the clock shows 10:31; the grace lasts until 32 s
    assert await world.enrolments() == []
    await world.route(until=timedelta(seconds=40))
    (enrolment,) = await world.enrolments()
    assert enrolment.entered_at == START + 30 * MINUTE
    ((_, _, payload),) = await world.outbox()
    assert payload["scale"]["speed"] == 60.0
