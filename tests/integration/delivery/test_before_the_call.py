"""Right before the call: what is rendered, what has come meanwhile, and the pace of a channel."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from channels.errors import Rejected
from channels.message import Attachment
from channels.outbox import OutboxAdapter
from channels.port import Settings
from channels.receipt import Reason
from channels.testing.fakes import MemorySink
from engine.content import Folder
from engine.core.commands import Trace
from engine.core.inputs import Settled
from engine.core.plan import Condition
from engine.delivery import Retry, deliver
from engine.language.installation import ChannelSettings
from engine.store import consents, events, traces
from engine.store.consents import Consent

from .conftest import AT, ENTERED, World, message


async def test_a_value_that_is_missing_skips_with_render(world: World) -> None:
    world.fake("sms")
    digest = world.plan(message(template="broken", channels=("sms",)))
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("skipped", "render")


async def test_a_template_sees_computed_attributes(world: World) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message(template="counted"))
    enrolment = await world.customer(digest)
    for minutes in (10, 20, 90):
        await world.event(enrolment, "order.paid", ENTERED + timedelta(minutes=minutes))

    await deliver(world.worker(), [world.order(enrolment, digest)])

    assert adapter.attempts[0].parts == {"text": "Order number 3"}


@pytest.mark.parametrize(
    ("minutes", "cart", "scaled", "result"),
    [
        (30, "k1", False, "skipped"),
        (30, "k2", False, "sent"),  # the goal's condition does not hold
        (-10, "k1", False, "sent"),  # before entry
        (70, "k1", False, "skipped"),  # after the step, before now
        (70, "k1", True, "sent"),  # a scaled clock looks no further than the step
        (60, "k1", True, "skipped"),
    ],
)
async def test_a_goal_that_is_stored_but_not_routed_stops_the_message(
    world: World, minutes: int, cart: str, scaled: bool, result: str
) -> None:
    world.fake("sms")
    world.clock.at, world.clock.scaled = AT + timedelta(minutes=20), scaled
    goal = Condition("goal", "order.paid", "event.cart_id == trigger.cart_id")
    digest = world.plan(message(), goal=goal)
    enrolment = await world.customer(digest, trigger={"cart_id": "k1"})
    await world.event(enrolment, "order.paid", ENTERED + timedelta(minutes=minutes), cart_id=cart)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert answer.result == result
    assert answer.reason == ("exit_seen" if result == "skipped" else None)


@pytest.mark.parametrize(("viewed", "result"), [((2,), "sent"), ((2, 5), "sent"), ((1, 2), "skipped")])
async def test_a_goal_counts_what_there_was_when_it_was_routed(
    world: World, viewed: tuple[int, ...], result: str
) -> None:
    """What came since makes no goal of an event that was none."""
    world.fake("sms")
    goal = Condition("goal", "order.paid", 'count("page.viewed", "1d") > 1')
    digest = world.plan(message(), goal=goal)
    enrolment = await world.customer(digest)
    for minute in viewed:
        await world.event(enrolment, "page.viewed", ENTERED + timedelta(minutes=minute))
    paid = await world.event(enrolment, "order.paid", ENTERED + timedelta(minutes=3))
    async with world.database.begin() as connection:
        await events.mark_routed(connection, [paid], AT)
    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])
    assert isinstance(answer, Settled)
    assert answer.result == result


async def test_retries_past_max_lateness_skip_as_late(world: World) -> None:
    world.fake("sms")
    world.clock.at = AT + timedelta(hours=25)
    digest = world.plan(message())
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("skipped", "late")


async def test_the_trace_is_stored_with_the_claim_and_once(world: World) -> None:
    world.fake("sms")
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    line = Trace(AT, "began", "hi")
    order = replace(world.order(enrolment, digest), trace=(line,), trace_from=3)

    await deliver(world.worker(), [order])
    await deliver(world.worker(), [order])

    async with world.database.connect() as connection:
        assert (await traces.read_batch(connection, [enrolment]))[enrolment] == [Trace(AT, "began", "hi")]


# --- the pace of a channel ------------------------------------------------------------------------------


async def test_what_would_have_to_wait_too_long_for_its_channel_is_given_back_untouched(world: World) -> None:
    adapter = world.fake("sms")
    world.channels["sms"] = ChannelSettings(rate=0.01)
    digest = world.plan(message(channels=("sms",)))
    orders = [world.order(await world.customer(digest), digest) for _ in range(3)]
    worker = replace(world.worker(), patience=timedelta(0))

    answers = await deliver(worker, orders)

    assert [type(answer) for answer in answers] == [Settled, Retry, Retry]
    assert len(adapter.attempts) == 1
    assert not await world.rows(orders[1].enrolment_id)
    again = await deliver(worker, orders)
    assert [type(answer) for answer in again] == [Settled, Retry, Retry]
    assert len(adapter.attempts) == 1


async def test_a_message_waits_for_its_turn_at_the_channel(world: World) -> None:
    adapter = world.fake("sms")
    world.channels["sms"] = ChannelSettings(rate=5)
    digest = world.plan(message(channels=("sms",)))
    orders = [world.order(await world.customer(digest), digest) for _ in range(8)]
    answers = await deliver(world.worker(), orders)
    assert all(isinstance(answer, Settled) for answer in answers)
    assert len(adapter.attempts) == 8


async def test_the_next_channel_keeps_its_pace_too(world: World) -> None:
    sms, email = world.fake("sms"), world.fake("email")
    sms.always(Rejected(Reason.OTHER, "no"))
    world.channels["email"] = ChannelSettings(rate=0.01)
    digest = world.plan(message())
    orders = [world.order(await world.customer(digest), digest) for _ in range(2)]
    worker = replace(world.worker(), patience=timedelta(0))

    first = await deliver(worker, orders)
    assert sorted(type(answer).__name__ for answer in first) == ["Retry", "Settled"]
    again = await deliver(worker, orders)
    assert sorted(type(answer).__name__ for answer in again) == ["Retry", "Settled"]
    assert (len(sms.attempts), len(email.attempts)) == (2, 1)


async def test_a_message_with_a_purpose_needs_a_consent_that_speaks_for_it(world: World) -> None:
    world.fake("sms")
    digest = world.plan(
        replace(message(channels=("sms",), then="more"), purpose="newsletter"),
        message("more", channels=("sms",)),
    )
    enrolment = await world.customer(digest, consent=())
    profile_id = (await world.enrolment(enrolment)).profile_id

    async def say(channel: str, granted: bool, purpose: str, minutes: int) -> None:
        async with world.database.begin() as connection:
            at = ENTERED + timedelta(minutes=minutes)
            await consents.add_batch(connection, [Consent(profile_id, channel, granted, at, purpose=purpose)])

    await say("sms", True, "*", 0)
    await say("*", False, "newsletter", 1)
    orders = [world.order(enrolment, digest), world.order(enrolment, digest, "more")]
    first, second = await deliver(world.worker(), orders)
    assert isinstance(first, Settled)
    assert isinstance(second, Settled)
    assert (first.result, first.reason, second.result) == ("skipped", "no_consent", "sent")
    other = await world.again(enrolment, digest)
    await say("sms", True, "newsletter", 2)
    [answer] = await deliver(world.worker(), [world.order(other, digest)])
    assert isinstance(answer, Settled)
    assert answer.result == "sent"


async def test_who_is_not_to_be_written_to_personally_gets_the_generic_variant(world: World) -> None:
    sink = MemorySink()
    for channel in ("sms", "email"):
        world.adapters[channel] = OutboxAdapter(channel, Settings(), sink=sink)
    by_sms, by_mail = world.plan(message(channels=("sms",))), world.plan(message(channels=("email",)))
    about = {"first_name": "Lin", "personalise": False}
    orders = [
        world.order(await world.customer(digest, attributes=about), digest) for digest in (by_sms, by_mail)
    ]
    await deliver(world.worker(), orders)
    assert sorted((kept.channel, sorted(kept.parts.items())) for kept in sink.messages.values()) == [
        ("email", [("subject", "News"), ("text", "To everybody")]),
        ("sms", [("text", "Hello you")]),
    ]


@pytest.mark.parametrize(
    ("paid", "attributes", "text", "variant"),
    [
        (0, {}, "For all", None),
        (2, {}, "For gold", "gold"),
        (2, {"personalise": False}, "Generic", "generic"),
    ],
)
async def test_a_variant_is_chosen_by_its_condition_and_named_on_the_delivery(
    world: World, paid: int, attributes: dict[str, Any], text: str, variant: str | None
) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message(template="tiered"))
    enrolment = await world.customer(digest, attributes=attributes)
    for minutes in range(paid):
        await world.event(enrolment, "order.paid", ENTERED + timedelta(minutes=minutes + 1))

    await deliver(world.worker(), [world.order(enrolment, digest)])

    assert adapter.attempts[0].parts == {"text": text}
    row = await world.row(enrolment)
    assert row.template_variant == variant
    assert row.template_digest == (await world.worker().project()).templates.digest(
        "tiered", "sms", Folder(variant)
    )


async def test_a_mail_carries_its_files_and_a_text_made_of_its_html(world: World) -> None:
    adapter = world.fake("email")
    digest = world.plan(message(template="menu", channels=("email",)))
    enrolment = await world.customer(digest)

    await deliver(world.worker(), [world.order(enrolment, digest)])

    (sent,) = adapter.attempts
    assert sent.parts["text"] == "Here it is. Tea"
    assert sent.attachments == (
        Attachment("Menu.pdf", "application/pdf", b"%PDF"),
        Attachment("logo.png", "image/png", b"PNG", "logo.png"),
    )


async def test_a_template_without_end_or_after_python_costs_its_own_customer_alone(world: World) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message(template="hungry"))
    rounds = (0, 1, 10**9)  # nothing to do, Python's insides, a loop without end
    people = [await world.customer(digest, trigger={"rounds": each}) for each in rounds]

    answers = await deliver(world.worker(), [world.order(each, digest) for each in people])

    assert [(answer.result, answer.reason) for answer in answers if isinstance(answer, Settled)] == [
        ("sent", None),
        ("skipped", "render"),
        ("skipped", "render"),
    ]
    assert [sent.parts["text"] for sent in adapter.attempts] == ["x"]
    raw = (await world.row(people[2])).raw
    assert "10,000" in raw["detail"]
