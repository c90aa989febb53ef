"""Several providers for one channel."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.limits import Hours, Need, Quota
from channels.message import Message
from channels.pacing import Outcome
from channels.port import Capabilities
from channels.receipt import Accepted, Reason
from channels.routing import FAILURES, PAUSE, Circuit, Route, Routing, Rule, with_provider
from channels.testing import FakeAdapter


def message(key: str = "k", address: str = "+8613800000000", locale: str | None = "zh-CN") -> Message:
    return Message(
        key=key,
        channel="sms",
        address=address,
        parts={"text": "hello"},
        template="hello",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        metadata={"locale": locale},
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def routing(clock: Clock | None = None, **rules: Rule) -> Routing:
    clock = clock or Clock()
    return Routing("sms", [Route(n, FakeAdapter("sms"), rule, Circuit(clock)) for n, rule in rules.items()])


def fake(channel: Routing, name: str) -> FakeAdapter:
    adapter = channel.routes[name].adapter
    assert isinstance(adapter, FakeAdapter)
    return adapter


async def send(channel: Routing, given: Message) -> Outcome:
    [outcome] = await channel.send([with_provider(given, channel.route(given))])
    return outcome


def test_the_first_route_whose_rule_holds_takes_the_message() -> None:
    channel = routing(cn=Rule(regions=("CN",)), de=Rule(locales=("de",)), rest=Rule())
    assert channel.route(message()) == "cn"
    assert channel.route(message(address="+4915112345678", locale="de-AT")) == "de"
    assert channel.route(message(address="+33612345678", locale="fr")) == "rest"
    assert channel.route(message(address="a@example.com", locale=None)) == "rest"


def test_where_no_rule_holds_every_route_may_be_taken() -> None:
    channel = routing(cn=Rule(regions=("CN",)), de=Rule(locales=("de",)))
    assert channel.route(message(address="+33612345678", locale="fr")) == "cn"


def test_the_cheapest_comes_first_and_what_has_no_cost_last() -> None:
    channel = routing(free=Rule(), dear=Rule(cost=0.09), cheap=Rule(cost=0.04))
    assert [route.name for route in channel.order(message())] == ["cheap", "dear", "free"]


def test_shares_part_the_messages_and_a_message_keeps_its_provider() -> None:
    channel = routing(one=Rule(share=70, cost=2), two=Rule(share=30, cost=1))
    chosen = {f"k{n}": channel.route(message(f"k{n}")) for n in range(2000)}
    counted = Counter(chosen.values())
    assert 1300 < counted["one"] < 1500
    assert chosen == {key: channel.route(message(key)) for key in chosen}


@pytest.mark.parametrize(
    "trouble",
    [Unavailable("down"), Throttled(None), Unknown("?"), Rejected(Reason.CREDENTIALS)],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_a_provider_that_fails_again_and_again_is_left_alone_then_tried_with_one(trouble: Any) -> None:
    clock = Clock()
    channel = routing(clock, one=Rule(), two=Rule())
    fake(channel, "one").always(trouble)
    for n in range(FAILURES):
        assert channel.route(message(f"a{n}")) == "one"
        await send(channel, message(f"a{n}"))
    assert channel.route(message("b")) == "two"

    clock.now += PAUSE + 1
    assert [channel.route(message(key)) for key in ("c", "c", "d")] == ["one", "one", "two"]
    await send(channel, message("c"))
    assert channel.route(message("e")) == "two"

    clock.now += 2 * PAUSE + 1
    fake(channel, "one").always(Accepted("1"))
    await send(channel, message("f"))
    assert channel.route(message("g")) == "one"


async def test_refusals_of_messages_say_nothing_of_the_provider() -> None:
    channel = routing(one=Rule(), two=Rule())
    fake(channel, "one").always(Rejected(Reason.ADDRESS_UNKNOWN, permanent=True))
    for n in range(3 * FAILURES):
        await send(channel, message(f"a{n}"))
    assert channel.route(message("b")) == "one"


async def test_with_every_provider_down_nothing_is_called_and_it_is_said_for_how_long() -> None:
    channel = routing(one=Rule(), two=Rule())
    for name in ("one", "two"):
        fake(channel, name).always(Unavailable("down", timedelta(seconds=100)))
    for n in range(2 * FAILURES):
        await send(channel, message(f"a{n}"))
    called = len(fake(channel, "one").attempts) + len(fake(channel, "two").attempts)

    outcome = await send(channel, message("b"))

    assert outcome == Unavailable("one is left alone after failures", timedelta(seconds=100))
    assert len(fake(channel, "one").attempts) + len(fake(channel, "two").attempts) == called
    assert channel.route(message("b"), tried={"one"}) is None


async def test_nobody_else_is_called_for_a_message_whose_provider_is_gone() -> None:
    channel = routing(one=Rule())
    [outcome] = await channel.send([with_provider(message(), "two")])
    assert isinstance(outcome, Unknown)
    assert fake(channel, "one").attempts == []


async def test_send_never_turns_to_another_provider_by_itself() -> None:
    channel = routing(one=Rule(), two=Rule())
    fake(channel, "one").always(Unavailable("down"))
    assert isinstance(await send(channel, message()), Unavailable)
    assert fake(channel, "two").attempts == []


async def test_messages_of_a_batch_go_each_to_their_provider_in_order() -> None:
    channel = routing(cn=Rule(regions=("CN",)), rest=Rule())
    fake(channel, "cn").always(lambda m: Accepted(f"cn-{m.key}"))
    fake(channel, "rest").always(lambda m: Accepted(f"rest-{m.key}"))
    given = [message(str(n), "+8613800000000" if n % 2 else "+33612345678") for n in range(6)]
    outcomes = await channel.send([with_provider(m, channel.route(m)) for m in given])
    assert [o.provider_id for o in outcomes if isinstance(o, Accepted)] == [
        "rest-0",
        "cn-1",
        "rest-2",
        "cn-3",
        "rest-4",
        "cn-5",
    ]


async def test_a_channel_can_what_all_of_its_providers_can_and_each_what_it_can() -> None:
    plain = FakeAdapter("sms", capabilities=Capabilities(remote=True))
    channel = Routing("sms", [Route("one", FakeAdapter("sms")), Route("two", plain)])
    assert not channel.capabilities.idempotent
    assert channel.capabilities_of("one").idempotent
    assert not channel.capabilities_of("two").idempotent
    assert not channel.capabilities_of("gone").idempotent
    polled = FakeAdapter("sms", capabilities=Capabilities(polled=True))
    mixed = Routing("sms", [Route("one", plain), Route("two", polled)])
    assert mixed.capabilities == Capabilities(polled=True)
    asked = [with_provider(message(), name) for name in ("one", "two", "gone")]
    await channel.send(asked[:1])
    assert await channel.query(asked) == [Accepted("k"), None, None]


async def test_opening_and_closing_reach_every_provider() -> None:
    channel = routing(one=Rule(), two=Rule())
    async with channel:
        assert [fake(channel, name).opened for name in ("one", "two")] == [1, 1]
    assert [fake(channel, name).closed for name in ("one", "two")] == [1, 1]


class Limited(FakeAdapter):
    """A provider with hours, a quota and an end."""

    hours = Hours("08:00", "22:00")
    quotas = {"a month": Quota(monthly=4)}  # noqa: RUF012
    ends_at = datetime(2026, 1, 2, tzinfo=UTC)

    def needs(self, message: Message) -> Need | None:
        return Need("a month")

    def closes_at(self, message: Message) -> datetime | None:
        return self.ends_at


async def test_quotas_and_ends_are_those_of_the_provider() -> None:
    channel = Routing("sms", [Route("one", FakeAdapter("sms")), Route("two", Limited("sms"))])
    assert channel.quotas_of("two") == Limited.quotas
    assert channel.quotas_of("one") == channel.quotas_of("gone") == {}
    asked = [with_provider(message(), name) for name in ("one", "two", "gone")]
    assert [channel.needs(each) for each in asked] == [None, Need("a month"), None]
    assert [channel.closes_at(each) for each in asked] == [None, Limited.ends_at, None]
