"""A channel with several providers: fail-over, and never two providers for one message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

import pytest

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.limits import Hours, Need, Quota
from channels.message import Message
from channels.pacing import Outcome
from channels.port import Capabilities
from channels.receipt import Reason
from channels.routing import Route, Routing, Rule
from channels.testing import FakeAdapter
from engine.core.inputs import Settled
from engine.delivery import Retry, deliver

from .conftest import AT, World, message

PLAIN = Capabilities(remote=True)


class Two:
    """An SMS channel with two providers, of which neither honours our key."""

    def __init__(self, world: World, capabilities: Capabilities = PLAIN) -> None:
        self.one = FakeAdapter("sms", capabilities=capabilities)
        self.two = FakeAdapter("sms", capabilities=PLAIN)
        world.adapters["sms"] = Routing(
            "sms", [Route("one", self.one, Rule(cost=1)), Route("two", self.two, Rule(cost=2))]
        )


@pytest.mark.parametrize(
    "trouble",
    [Unavailable("down"), Throttled(None, "slow"), Rejected(Reason.CREDENTIALS), Rejected(Reason.QUOTA)],
    ids=str,
)
async def test_the_second_takes_what_the_first_surely_did_not(world: World, trouble: Outcome) -> None:
    two = Two(world)
    two.one.always(trouble)
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "sent", AT, "sms")
    row = await world.row(enrolment)
    assert (row.state, row.provider, row.attempts) == ("accepted", "two", 1)
    assert len(two.one.attempts) == len(two.two.attempts) == 1


async def test_a_refusal_of_the_message_is_final_with_every_provider(world: World) -> None:
    two = Two(world)
    two.one.always(Rejected(Reason.CONTENT))
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)

    await deliver(world.worker(), [world.order(enrolment, digest)])

    assert (await world.row(enrolment)).state == "rejected"
    assert two.two.attempts == []


async def test_what_the_first_perhaps_took_is_nobody_elses(world: World) -> None:
    two = Two(world)
    two.one.always(Unknown("silence"))
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert answer.result == "unknown"
    assert (await world.row(enrolment)).provider == "one"
    assert two.two.attempts == []


async def test_an_unknown_send_is_repeated_by_its_own_provider_alone(world: World) -> None:
    two = Two(world, Capabilities(remote=True, idempotent=True))
    two.one.then(Unknown("silence"), Unavailable("down"), Rejected(Reason.CREDENTIALS))
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    assert isinstance((await deliver(world.worker(), [order]))[0], Retry)
    assert isinstance((await deliver(world.worker(), [order]))[0], Retry)
    [answer] = await deliver(world.worker(), [order])

    assert isinstance(answer, Settled)
    assert answer.result == "failed"
    assert len(two.one.attempts) == 3
    assert two.two.attempts == []


async def test_a_worker_that_dies_while_the_second_has_it_leaves_it_to_the_second(world: World) -> None:
    two = Two(world, Capabilities(remote=True, idempotent=True))
    two.one.always(Unavailable("down"))

    def dies(_: Message) -> Outcome:
        raise asyncio.CancelledError

    two.two.then(dies)
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)
    with pytest.raises(asyncio.CancelledError):
        await deliver(world.worker(), [world.order(enrolment, digest)])
    assert (await world.row(enrolment)).provider == "two"

    # The second does not honour our key: what it may have taken is not sent again, by the first either.
    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert answer.result == "unknown"
    assert (len(two.one.attempts), len(two.two.attempts)) == (1, 1)


async def test_with_both_down_the_message_waits_and_begins_with_the_first_again(world: World) -> None:
    two = Two(world)
    two.one.then(Unavailable("down"))
    two.two.then(Unavailable("down too"))
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    assert isinstance((await deliver(world.worker(), [order]))[0], Retry)
    assert (await world.row(enrolment)).reason == "unavailable: down too"
    [answer] = await deliver(world.worker(), [order])

    assert answer == Settled("hi", "sent", AT, "sms")
    assert (await world.row(enrolment)).provider == "one"


async def test_a_channel_that_nobody_knows_writes_to_the_attribute_of_its_name(world: World) -> None:
    pigeon = world.fake("pigeon")
    digest = world.plan(message(channels=("pigeon",), template="by-pigeon"))
    reached = await world.customer(digest, attributes={"pigeon": "p-1"}, consent=("pigeon",))
    other = await world.customer(digest, consent=("pigeon",))

    answers = await deliver(world.worker(), [world.order(each, digest) for each in (reached, other)])

    assert [answer.result for answer in answers if isinstance(answer, Settled)] == ["sent", "skipped"]
    assert [sent.address for sent in pigeon.attempts] == ["p-1"]


class Nightless(FakeAdapter):
    hours = Hours("12:00", "18:00", "UTC")


class Counting(FakeAdapter):
    """Takes one message of a kind a month."""

    quotas: ClassVar[Mapping[str, Quota]] = {"news": Quota(monthly=1)}

    def needs(self, message: Message) -> Need | None:
        return Need("news")


async def test_marketing_keeps_the_hours_of_the_provider_it_would_go_by(world: World) -> None:
    world.clock.scaled = True
    routes = [Route("cn", Nightless("sms"), Rule(regions=("CN",))), Route("rest", FakeAdapter("sms"))]
    world.adapters["sms"] = Routing("sms", routes)
    digest = world.plan(message(channels=("sms",)))
    chinese = await world.customer(digest)
    german = await world.customer(digest, addresses={"phone": "+4915112345678"})

    orders = [world.order(person, digest) for person in (chinese, german)]
    waits, goes = await deliver(world.worker(), orders)

    assert waits == Settled("hi", "deferred", AT, reason="window", until=AT.replace(hour=12))
    assert goes == Settled("hi", "sent", AT, "sms")


async def test_quotas_are_those_of_the_provider(world: World) -> None:
    routes = [Route("cn", Counting("sms"), Rule(regions=("CN",))), Route("rest", FakeAdapter("sms"))]
    world.adapters["sms"] = Routing("sms", routes)
    digest = world.plan(message(channels=("sms",)), message("two", channels=("sms",)))
    chinese = await world.customer(digest)
    worker = world.worker()

    [first] = await deliver(worker, [world.order(chinese, digest)])
    [second] = await deliver(worker, [world.order(chinese, digest, "two")])

    assert first == Settled("hi", "sent", AT, "sms")
    assert isinstance(second, Settled)
    assert (second.result, second.reason) == ("skipped", "quota")
