"""A message's way from order to settled row, on a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import pytest
from sqlalchemy import event as sa_event

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.message import Message
from channels.outbox import OutboxAdapter
from channels.port import Settings
from channels.receipt import Accepted, Reason
from channels.testing.fakes import FakeAdapter, MemorySink
from engine.core.inputs import Settled
from engine.core.plan import WaitLength
from engine.delivery import Redirect, Retry, deliver
from engine.language.installation import ChannelSettings

from .conftest import AT, PLAIN, World, key_of, message


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
