"""Receipts, the sweeper, and answers to the core's questions."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from channels.message import Message
from channels.receipt import Accepted, DeliveryState, Receipt
from channels.testing.wecom import FakeWeCom
from channels.wecom import WeComAdapter, WeComSettings
from engine.core.commands import Question
from engine.core.inputs import Settled
from engine.delivery import AskOrder, Retry, answer, deliver, poll, receive, sweep
from engine.store import profiles

from .conftest import AT, PLAIN, World, key_of, message

# --- receipts -------------------------------------------------------------------------------------------


async def delivered(world: World) -> tuple[str, str]:
    """One accepted message; returns its enrolment and plan."""
    world.fake("sms").then(Accepted("p1"))
    digest = world.plan(message(), message("two", channels=("sms",)))
    enrolment = await world.customer(digest)
    await deliver(world.worker(), [world.order(enrolment, digest)])
    return enrolment, digest


async def test_a_receipt_moves_its_delivery_and_becomes_an_event_once(world: World) -> None:
    enrolment, _ = await delivered(world)
    receipt = Receipt(DeliveryState.DELIVERED, AT + timedelta(minutes=1), provider_id="p1")

    assert await receive(world.worker(), [receipt]) == 1
    assert await receive(world.worker(), [receipt]) == 1

    assert (await world.row(enrolment)).state == "delivered"
    names = [event.name for event in await world.events(enrolment)]
    assert sorted(names) == ["message.delivered", "message.sent"]


async def test_a_click_says_which_link_and_leaves_the_state(world: World) -> None:
    enrolment, _ = await delivered(world)
    at = AT + timedelta(minutes=1)

    await receive(world.worker(), [Receipt(DeliveryState.CLICKED, at, provider_id="p1", link="https://a")])

    [event] = [e for e in await world.events(enrolment) if e.name == "message.clicked"]
    assert (event.properties["link"], event.properties["enrolment_id"]) == ("https://a", enrolment)
    assert (await world.row(enrolment)).state == "accepted"


async def test_a_provider_that_calls_nobody_is_asked_until_staff_have_sent(world: World) -> None:
    digest = world.plan(message(channels=("wecom",)))
    enrolments = [
        await world.customer(digest, addresses={"wecom": f"wm-{n}"}, consent=("wecom",)) for n in range(3)
    ]
    async with FakeWeCom("corp", "secret") as fake:
        for n in range(3):
            fake.befriend(f"wm-{n}", "zhang")
        settings = WeComSettings(corp_id="corp", secret=SecretStr("secret"), url=fake.url)
        async with WeComAdapter("wecom", settings) as adapter:
            world.adapters["wecom"] = adapter
            await deliver(world.worker(), [world.order(e, digest) for e in enrolments])
            assert await poll(world.worker()) == 0
            assert {(await world.row(e)).state for e in enrolments} == {"accepted"}
            fake.confirm(*fake.tasks)
            assert await poll(world.worker(), limit=2) == 3
            assert await poll(world.worker()) == 0
            await fake.stop()
            assert await poll(world.worker()) == 0
    assert {(await world.row(e)).state for e in enrolments} == {"delivered"}
    names = [event.name for event in await world.events(enrolments[0])]
    assert sorted(names) == ["message.delivered", "message.sent"]


async def test_a_permanent_bounce_blocks_the_address(world: World) -> None:
    enrolment, digest = await delivered(world)
    receipt = Receipt(DeliveryState.BOUNCED, AT, provider_id="p1", permanent=True)

    await receive(world.worker(), [receipt])
    [second] = await deliver(world.worker(), [world.order(enrolment, digest, "two")])

    assert isinstance(second, Settled)
    assert (second.result, second.reason) == ("skipped", "blocked")


async def test_a_bounce_that_comes_late_is_about_the_address_that_the_message_went_to(world: World) -> None:
    enrolment, digest = await delivered(world)
    profile_id = (await world.enrolment(enrolment)).profile_id
    async with world.database.begin() as connection:
        change = profiles.Change(profile_id, addresses={"phone": "+8613900000000"})
        await profiles.change_batch(connection, [change])

    await receive(world.worker(), [Receipt(DeliveryState.BOUNCED, AT, provider_id="p1", permanent=True)])
    [second] = await deliver(world.worker(), [world.order(enrolment, digest, "two")])

    assert isinstance(second, Settled)
    assert second.result == "sent"


async def test_a_complaint_withdraws_consent(world: World) -> None:
    enrolment, digest = await delivered(world)

    await receive(world.worker(), [Receipt(DeliveryState.COMPLAINED, AT, provider_id="p1")])
    [second] = await deliver(world.worker(), [world.order(enrolment, digest, "two")])

    assert isinstance(second, Settled)
    assert (second.result, second.reason) == ("skipped", "no_consent")
    assert "consent.changed" in [event.name for event in await world.events(enrolment)]


async def test_a_receipt_of_somebody_else_is_left_alone(world: World) -> None:
    await delivered(world)
    assert await receive(world.worker(), [Receipt(DeliveryState.DELIVERED, AT, provider_id="other")]) == 0


# --- the sweeper ----------------------------------------------------------------------------------------


async def leave_behind(world: World, enrolment: str, digest: str, minutes: int) -> None:
    class Killed(BaseException):
        pass

    def kill(_: Message) -> Accepted:
        raise Killed

    world.adapters["sms"].then(kill)  # type: ignore[attr-defined]
    with pytest.raises(Killed):
        await deliver(world.worker("dead"), [world.order(enrolment, digest)])
    async with world.database.begin() as connection:
        ago = timedelta(minutes=minutes)
        await connection.execute(
            sa.text(
                "UPDATE deliveries SET claimed_at = claimed_at - :ago, sending_at = sending_at - :ago"
            ).bindparams(sa.bindparam("ago", ago, sa.Interval)),
        )


async def test_the_sweeper_settles_what_a_dead_worker_left_behind(world: World) -> None:
    adapter = world.fake("sms", PLAIN)
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await leave_behind(world, enrolment, digest, 5)

    assert await sweep(world.worker("w2")) == 1
    assert await sweep(world.worker("w2")) == 0

    assert (await world.row(enrolment)).state == "unknown"
    assert [event.name for event in await world.events(enrolment)] == ["message.sent"]
    [answered] = await deliver(world.worker("w2"), [world.order(enrolment, digest)])
    assert answered == Settled("hi", "unknown", AT, "sms")
    assert len(adapter.attempts) == 1


async def test_the_sweeper_gives_back_what_may_be_repeated(world: World) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await leave_behind(world, enrolment, digest, 5)

    assert await sweep(world.worker("w2")) == 1
    assert (await world.row(enrolment)).state == "claimed"

    [answered] = await deliver(world.worker("w2"), [world.order(enrolment, digest)])
    assert answered == Settled("hi", "sent", AT, "sms")
    assert {m.key for m in adapter.attempts} == {key_of(enrolment)}


async def test_the_sweeper_waits_for_a_call_that_may_still_be_going_on(world: World) -> None:
    world.fake("sms", PLAIN)
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await leave_behind(world, enrolment, digest, 0)

    assert await sweep(world.worker("w2")) == 0
    [answered] = await deliver(world.worker("w2"), [world.order(enrolment, digest)])
    assert isinstance(answered, Retry)


# --- answers --------------------------------------------------------------------------------------------


async def test_questions_are_answered_in_order_as_json(world: World) -> None:
    digest = world.plan(message())
    first = await world.customer(digest, attributes={"points": 4}, trigger={"cart_id": "k1"})
    second = await world.customer(digest, attributes={"points": 5}, trigger={"cart_id": "k2"})
    paid = await world.event(first, "order.paid", AT - timedelta(minutes=5), total=12)
    questions = (
        Question("profile.points > 4"),
        Question("trigger.cart_id"),
        Question("event.total"),
        Question('count("order.paid", "30d")'),
        Question("now"),
        Question("profile", "zone"),
        Question("installation", "zone"),
    )

    answers = await answer(
        world.worker(), [AskOrder(first, AT, paid, questions), AskOrder(second, AT, None, questions)]
    )

    assert answers == [
        (False, "k1", 12, 1, AT.isoformat(), "UTC", "UTC"),
        (True, "k2", None, 0, AT.isoformat(), "UTC", "UTC"),
    ]


async def test_the_zone_of_a_profile_is_its_own_where_it_has_one(world: World) -> None:
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await world.change(enrolment, time_zone="Asia/Tokyo")

    [values] = await answer(world.worker(), [AskOrder(enrolment, AT, None, (Question("profile", "zone"),))])

    assert values == ("Asia/Tokyo",)
