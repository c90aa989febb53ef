"""Who enters, and when: events in the database, through the router, to enrolments and the outbox."""

from __future__ import annotations

from datetime import timedelta

from engine.core.identity import workflow_id
from tests.integration.ingest.world import START, World

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
