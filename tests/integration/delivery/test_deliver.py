"""A message's way from order to settled row, on a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import event as sa_event

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.message import Attachment, Message
from channels.outbox import OutboxAdapter
from channels.port import Settings
from channels.receipt import Accepted, Reason
from channels.testing.fakes import FakeAdapter, MemorySink
from engine.content import Folder
from engine.core.commands import Trace
from engine.core.inputs import Settled
from engine.core.plan import Condition, WaitLength
from engine.delivery import Redirect, Retry, deliver
from engine.language.installation import ChannelSettings
from engine.store import consents, events, traces
from engine.store.consents import Consent

from .conftest import AT, ENTERED, PLAIN, World, key_of, message


def sent(channel: str, at: datetime = AT) -> Settled:
    return Settled("hi", "sent", at, channel)


async def test_one_order_goes_through_the_outbox_and_is_settled(world: World) -> None:
    sink = MemorySink()
    world.adapters["sms"] = OutboxAdapter("sms", Settings(), sink=sink)
    digest = world.plan(message())
    enrolment = await world.customer(digest, attributes={"first_name": "Lin"})

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "sent", AT, "sms")
    [kept] = sink.messages.values()
    assert (kept.key, kept.address, kept.parts) == (
        key_of(enrolment),
        "+8613800000000",
        {"text": "Hello Lin"},
    )
    row = await world.row(enrolment)
    assert (row.state, row.channel, row.attempts) == ("accepted", "sms", 1)
    [event] = await world.events(enrolment)
    assert (event.name, event.occurred_at, event.properties["channel"]) == ("message.sent", AT, "sms")
    assert event.properties["enrolment_id"] == enrolment


async def test_the_row_says_where_the_enrolment_stands(world: World) -> None:
    adapter = world.fake("sms")
    adapter.then(Throttled(timedelta(seconds=1)))
    digest = world.plan(message(then="rest"), WaitLength("rest", None, timedelta(days=1)))
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])
    assert isinstance(answer, Retry)
    assert (await world.enrolment(enrolment)).step == "hi"
    await deliver(world.worker(), [world.order(enrolment, digest)])
    assert (await world.enrolment(enrolment)).step == "rest"


async def test_a_settled_row_answers_again_without_a_second_call(world: World) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    first = await deliver(world.worker("w1"), [order])
    again = await deliver(world.worker("w2"), [replace(order, at=AT + timedelta(seconds=5))])

    assert (first[0], again[0]) == (sent("sms"), sent("sms", AT + timedelta(seconds=5)))
    assert len(adapter.attempts) == 1
    assert len(await world.events(enrolment)) == 1


async def test_a_thousand_orders_cost_no_more_statements_than_one(world: World) -> None:
    world.fake("sms")
    digest = world.plan(message())

    async def statements(size: int) -> int:
        orders = [world.order(await world.customer(digest), digest) for _ in range(size)]
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        sa_event.listen(world.database.sync_engine, "before_cursor_execute", count)
        answers = await deliver(world.worker(), orders)
        sa_event.remove(world.database.sync_engine, "before_cursor_execute", count)
        assert answers == [sent("sms")] * size
        return counted

    assert await statements(1) == await statements(40)


async def test_of_two_workers_with_one_step_only_one_calls_the_adapter(world: World) -> None:
    adapter = world.fake("sms", PLAIN)
    digest = world.plan(message())
    orders = [world.order(await world.customer(digest), digest) for _ in range(20)]

    both = await asyncio.gather(*(deliver(world.worker(name), orders) for name in ("w1", "w2", "w3")))

    assert sorted(m.key for m in adapter.attempts) == sorted(key_of(o.enrolment_id) for o in orders)
    for answers in zip(*both, strict=True):
        assert any(answer == sent("sms") for answer in answers)
    assert await deliver(world.worker("w2"), orders) == [sent("sms")] * 20


async def test_a_claim_of_a_dead_worker_is_taken_over(world: World) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await deliver(world.worker("dead", channels_here=frozenset()), [world.order(enrolment, digest)])
    assert (await world.row(enrolment)).state == "claimed"

    assert await deliver(world.worker("w2"), [world.order(enrolment, digest)]) == [sent("sms")]
    assert len(adapter.attempts) == 1


# --- a worker that dies inside a call -------------------------------------------------------------------


async def die_inside_the_call(world: World, digest: str, enrolment: str) -> None:
    """A worker that ends after `sending` was committed and before anything was settled."""

    class Killed(BaseException):
        pass

    def kill(_: Message) -> Accepted:
        raise Killed

    adapter = world.adapters["sms"]
    assert isinstance(adapter, FakeAdapter)
    adapter.then(kill)
    with pytest.raises(Killed):
        await deliver(world.worker("w1"), [world.order(enrolment, digest)])
    assert (await world.row(enrolment)).state == "sending"


async def test_after_a_kill_the_call_is_repeated_where_the_provider_knows_our_key(world: World) -> None:
    adapter = world.fake("sms")
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await die_inside_the_call(world, digest, enrolment)

    assert await deliver(world.worker("w1"), [world.order(enrolment, digest)]) == [sent("sms")]
    assert [m.key for m in adapter.attempts] == [key_of(enrolment)] * 2


async def test_after_a_kill_the_message_counts_as_sent_where_it_cannot_be_known(world: World) -> None:
    adapter = world.fake("sms", PLAIN)
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await die_inside_the_call(world, digest, enrolment)

    unknown = Settled("hi", "unknown", AT, "sms")
    assert await deliver(world.worker("w1"), [world.order(enrolment, digest)]) == [unknown]
    assert await deliver(world.worker("w2"), [world.order(enrolment, digest)]) == [unknown]

    assert len(adapter.attempts) == 1
    assert (await world.row(enrolment)).state == "unknown"
    [event] = await world.events(enrolment)
    assert (event.name, event.properties["assumed"]) == ("message.sent", True)


async def test_after_a_kill_on_unknown_retry_repeats_it(world: World) -> None:
    world.channels["sms"] = ChannelSettings(on_unknown="retry")
    adapter = world.fake("sms", PLAIN)
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await die_inside_the_call(world, digest, enrolment)

    assert await deliver(world.worker("w1"), [world.order(enrolment, digest)]) == [sent("sms")]
    assert len(adapter.attempts) == 2


async def test_the_call_of_a_worker_that_lives_is_left_alone(world: World) -> None:
    adapter = world.fake("sms", PLAIN)
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    await world.alive("w1")
    await die_inside_the_call(world, digest, enrolment)

    [answer] = await deliver(world.worker("w2"), [world.order(enrolment, digest)])

    assert isinstance(answer, Retry)
    assert len(adapter.attempts) == 1


# --- channels -------------------------------------------------------------------------------------------


async def test_the_first_channel_that_reaches_the_customer_is_used_and_the_others_have_reasons(
    world: World,
) -> None:
    world.fake("email")
    digest = world.plan(message(channels=("push", "sms", "email")))
    enrolment = await world.customer(digest, consent=("email",))

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    passed = (("push", "no_address"), ("sms", "no_consent"))
    assert answer == replace(sent("email"), passed_over=passed)
    assert (await world.row(enrolment)).passed_over == [list(pair) for pair in passed]


async def test_no_record_of_consent_means_no(world: World) -> None:
    world.fake("sms")
    digest = world.plan(message())
    enrolment = await world.customer(digest, consent=())

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("skipped", "no_consent")
    assert await world.events(enrolment) == []


async def test_a_refusal_for_good_tries_the_next_channel_on_the_same_row(world: World) -> None:
    world.fake("sms").then(Rejected(Reason.ADDRESS_UNKNOWN, permanent=True))
    email = world.fake("email")
    digest = world.plan(message())
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert answer == replace(sent("email"), passed_over=(("sms", "rejected: address_unknown"),))
    assert email.attempts[0].parts["subject"] == "Hello"
    assert (await world.row(enrolment)).state == "accepted"


async def test_a_refusal_by_every_channel_fails_and_says_so(world: World) -> None:
    world.fake("sms").then(Rejected(Reason.CONTENT))
    world.fake("email").then(Rejected(Reason.MAILBOX_FULL))
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    [answer] = await deliver(world.worker(), [order])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("failed", "rejected: mailbox_full")
    assert await deliver(world.worker(), [order]) == [answer]
    assert [event.name for event in await world.events(enrolment)] == ["message.failed"]


async def test_an_opt_out_at_the_provider_withdraws_consent(world: World) -> None:
    world.fake("sms").then(Rejected(Reason.OPTED_OUT, opt_out=True))
    digest = world.plan(message(channels=("sms",)), message("later", channels=("sms",)))
    enrolment = await world.customer(digest)

    await deliver(world.worker(), [world.order(enrolment, digest)])
    [answer] = await deliver(world.worker(), [world.order(enrolment, digest, "later")])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("skipped", "no_consent")


async def test_a_dead_address_is_blocked_until_there_is_another(world: World) -> None:
    world.fake("sms").then(Rejected(Reason.ADDRESS_UNKNOWN, permanent=True))
    world.fake("email").then(Accepted("m1", raw="250 ok"))
    later = (message(step, channels=("sms",)) for step in ("two", "three"))
    digest = world.plan(message(), *later)
    enrolment = await world.customer(digest)

    await deliver(world.worker(), [world.order(enrolment, digest)])
    [second] = await deliver(world.worker(), [world.order(enrolment, digest, "two")])
    await world.change(enrolment, addresses={"phone": "+8613900000000"})
    [third] = await deliver(world.worker(), [world.order(enrolment, digest, "three")])

    assert isinstance(second, Settled)
    assert isinstance(third, Settled)
    assert (second.result, second.reason, third.result) == ("skipped", "blocked", "sent")


async def test_a_channel_of_another_worker_is_handed_on_and_nothing_is_lost(world: World) -> None:
    email, sms = world.fake("email"), world.fake("sms")
    digest = world.plan(message(channels=("sms", "email")))
    enrolment = await world.customer(digest, consent=("email",))
    order = world.order(enrolment, digest)

    assert await deliver(world.worker("w1", frozenset({"sms"})), [order]) == [Redirect("email")]
    [answer] = await deliver(world.worker("w2", frozenset({"email"})), [replace(order, channel_hint="email")])

    assert answer == replace(sent("email"), passed_over=(("sms", "no_consent"),))
    assert (len(sms.attempts), len(email.attempts)) == (0, 1)


async def test_a_refusal_hands_on_to_the_worker_of_the_next_channel(world: World) -> None:
    world.fake("sms").then(Rejected(Reason.ADDRESS_UNKNOWN))
    email = world.fake("email")
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    assert await deliver(world.worker("w1", frozenset({"sms"})), [order]) == [Redirect("email")]
    [answer] = await deliver(world.worker("w2", frozenset({"email"})), [order])

    assert answer == replace(sent("email"), passed_over=(("sms", "rejected: address_unknown"),))
    assert len(email.attempts) == 1


# --- outcomes that are not final ------------------------------------------------------------------------


async def test_throttling_asks_for_a_retry_after_what_the_provider_named(world: World) -> None:
    adapter = world.fake("sms")
    adapter.then(Throttled(timedelta(seconds=7)), Unavailable("HTTP 500"))
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    [first] = await deliver(world.worker(), [order])
    row = await world.row(enrolment)
    [second] = await deliver(world.worker(), [order])
    [third] = await deliver(world.worker(), [order])

    assert first == Retry(timedelta(seconds=7), "throttled, again in 7 s")
    assert (row.state, row.reason) == ("claimed", "throttled, again in 7 s")
    assert second == Retry(timedelta(seconds=2), "unavailable: HTTP 500")
    assert third == sent("sms")
    assert len({m.key for m in adapter.attempts}) == 1


@pytest.mark.parametrize("on_unknown", ["assume_sent", "retry"])
async def test_an_unknown_outcome_never_falls_through_to_the_next_channel(
    world: World, on_unknown: Literal["assume_sent", "retry"]
) -> None:
    world.channels["sms"] = ChannelSettings(on_unknown=on_unknown)
    sms, email = world.fake("sms", PLAIN), world.fake("email")
    sms.then(Unknown("timed out"), Rejected(Reason.ADDRESS_UNKNOWN))
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    [first] = await deliver(world.worker(), [order])
    [second] = await deliver(world.worker(), [order])

    assert email.attempts == []
    if on_unknown == "assume_sent":
        assert first == second == Settled("hi", "unknown", AT, "sms")
    else:
        assert first == Retry(timedelta(seconds=1), "unknown: timed out")
        assert isinstance(second, Settled)
        assert second.result == "failed"


async def test_an_outcome_that_stays_unknown_is_settled_at_last(world: World) -> None:
    adapter = world.fake("sms")
    adapter.always(Unknown("timed out"))
    digest = world.plan(message())
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    answers = [(await deliver(world.worker(), [order]))[0] for _ in range(6)]

    assert [answer.kind for answer in answers] == ["retry"] * 4 + ["settled"] * 2
    assert answers[-1] == Settled("hi", "unknown", AT, "sms")
    assert len(adapter.attempts) == 5


async def test_an_adapter_that_breaks_its_promise_leaves_an_unknown(world: World) -> None:
    def broken(_: Message) -> Accepted:
        raise RuntimeError("bug")

    world.fake("sms", PLAIN).then(broken)
    digest = world.plan(message())
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "unknown", AT, "sms")


# --- right before the call ------------------------------------------------------------------------------


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
