"""A message's whole life, as its row and the events about it tell it."""

from __future__ import annotations

from datetime import timedelta

from channels.receipt import DeliveryState, Receipt
from channels.routing import Route, Routing, Rule
from channels.testing import FakeAdapter
from engine.core.limits import Cap, Policy
from engine.delivery import deliver, receive
from engine.delivery.life import life, lines
from engine.store import lives

from .conftest import AT, World, key_of, message

DAY = timedelta(days=1)


async def told(world: World, id: str, ended: bool = False) -> list[str]:
    async with world.database.connect() as connection:
        row = await lives.find(connection, id)
        assert row is not None
        events = await lives.told(connection, row)
    return [
        line.partition("  ")[2] for line in lines(life(row, events, (AT + DAY, "goal") if ended else None))
    ]


async def test_a_message_tells_how_it_waited_went_and_was_heard_of(world: World) -> None:
    world.clock.scaled = True
    world.policy = Policy((Cap(1, DAY),), "defer", 3 * DAY)
    world.fake("sms")
    digest = world.plan(message(), message("two", channels=("push", "sms")))
    person = await world.customer(digest)
    worker = world.worker()
    await deliver(worker, [world.order(person, digest)])
    await deliver(worker, [world.order(person, digest, "two", AT + timedelta(hours=1))])
    await deliver(worker, [world.order(person, digest, "two", AT + DAY)])
    clicked = Receipt(
        DeliveryState.CLICKED,
        AT + DAY + timedelta(minutes=1),
        provider_id=key_of(person, "two"),
        link="cart",
    )
    await receive(worker, [clicked, clicked])

    found = await told(world, f"cart/{person}/two")

    digest_12 = (await world.row(person, "two")).template_digest
    assert digest_12 is not None
    assert found == [
        "`two` asked for it: hello, marketing",
        "sms put off until 2026-03-02 11:00:00 UTC: frequency cap reached "
        "(per person; category marketing; most 1; within 1d; sent 1; free at 2026-03-02 11:00:00 UTC)",
        "push passed over: no address",
        f"handed over by sms, template {digest_12[:12]}, attempt 2, provider's id {key_of(person, 'two')}",
        "sent",
        "clicked: cart",
    ]
    assert await told(world, key_of(person, "two")) == found


async def test_what_was_skipped_or_dropped_says_so(world: World) -> None:
    world.clock.scaled = True
    world.policy = Policy((Cap(1, DAY),), "defer", 3 * DAY)
    world.fake("sms")
    digest = world.plan(message(), message("two"))
    person, nobody = await world.customer(digest), await world.customer(digest, addresses={})
    worker = world.worker()
    await deliver(worker, [world.order(person, digest), world.order(nobody, digest)])
    await deliver(worker, [world.order(person, digest, "two")])

    assert (await told(world, f"{nobody}/hi"))[-1] == "skipped: no address"
    assert (await told(world, f"{person}/two"))[-1].startswith("waits until 2026-03-02 11:00:00 UTC")
    ended = await told(world, f"{person}/two", ended=True)
    assert ended[-1] == "not sent: its enrolment ended meanwhile (goal)"


async def test_the_provider_and_the_variant_are_told(world: World) -> None:
    routes = [Route("cn", FakeAdapter("sms"), Rule(regions=("CN",))), Route("rest", FakeAdapter("sms"))]
    world.adapters["sms"] = Routing("sms", routes)
    digest = world.plan(message(template="tiered", channels=("sms",)))
    person = await world.customer(digest, attributes={"personalise": False})
    await deliver(world.worker(), [world.order(person, digest)])

    handed = next(line for line in await told(world, f"{person}/hi") if line.startswith("handed over"))
    found = (await world.row(person)).template_digest or ""
    assert handed.startswith(f"handed over by sms through cn, template {found[:12]} as generic, ")


async def test_what_cannot_be_rendered_says_where(world: World) -> None:
    world.fake("sms")
    digest = world.plan(message(template="broken", channels=("sms",)))
    person = await world.customer(digest)
    await deliver(world.worker(), [world.order(person, digest)])

    last = (await told(world, f"{person}/hi"))[-1]
    assert last.startswith("skipped: the template could not be rendered: templates/broken/sms.text.j2: ")


async def test_there_is_no_life_of_what_is_no_message(world: World) -> None:
    async with world.database.connect() as connection:
        for id in ("nothing", "no-enrolment/hi", "00000000-0000-0000-0000-000000000000/hi"):
            assert await lives.find(connection, id) is None
