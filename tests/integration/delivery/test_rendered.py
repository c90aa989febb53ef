"""Quotas of providers, budgets of channels, and the best time: what is asked beside caps and hours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from channels.errors import Rejected
from channels.limits import Hours, Need, Opening, Quota
from channels.message import Message
from channels.pacing import Outcome
from channels.receipt import Reason
from channels.testing.fakes import FakeAdapter
from engine.core.inputs import Settled
from engine.core.limits import Budget, Cap, Policy
from engine.core.limits import Opening as Allowance
from engine.core.limits import Quota as Allowed
from engine.delivery import deliver
from engine.language.installation import ChannelSettings
from engine.store import budgets

from .conftest import AT, World, message

DAY = timedelta(days=1)


class Service(FakeAdapter):
    """Takes messages within two days of what somebody wrote, two of them, and grants of one each."""

    name = "service"
    quotas: ClassVar[Mapping[str, Quota]] = {
        "answer": Quota((Opening("chat.messaged", 2, timedelta(days=2)),)),
        "grant": Quota((Opening("chat.granted", 1),), True, ("chat.refused",), "template_id"),
    }

    def needs(self, message: Message) -> Need | None:
        return Need("grant", "t1") if "mail" in message.parts.get("text", "") else Need("answer")


class Refusing(FakeAdapter):
    """Refuses, after something else has happened."""

    def __init__(self, channel: str, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(channel)
        self._meanwhile = meanwhile

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        await self._meanwhile()
        return [Rejected(Reason.CONTENT) for _ in messages]


class Daylight(FakeAdapter):
    hours = Hours("12:00", "18:00", "UTC")


@pytest.fixture
def scaled(world: World) -> World:
    world.clock.scaled = True
    return world


async def used(world: World) -> list[int]:
    async with world.database.connect() as connection:
        return [units for _, _, units in await budgets.used(connection, AT - DAY)]


async def test_a_service_message_goes_only_after_the_customer_wrote_and_only_so_often(scaled: World) -> None:
    world = scaled
    world.adapters["sms"] = Service("sms")
    world.fake("email")
    digest = world.plan(message(), message("two"), message("three"), message("four"))
    person = await world.customer(digest)
    worker = world.worker()

    async def goes(step: str, at: datetime) -> tuple[str | None, list[list[str]]]:
        await deliver(worker, [world.order(person, digest, step, at)])
        row = await world.row(person, step)
        return row.channel, row.passed_over

    assert await goes("hi", AT) == ("email", [["sms", "window"]])
    await world.event(person, "chat.messaged", AT + timedelta(minutes=1))
    assert await goes("two", AT + timedelta(hours=1)) == ("sms", [])
    assert (await world.row(person, "two")).quota == "service:answer"
    assert await goes("three", AT + timedelta(hours=2)) == ("sms", [])
    assert await goes("four", AT + timedelta(hours=3)) == ("email", [["sms", "quota"]])
    row = await world.row(person, "four")
    assert row.why is not None
    assert row.why[0]["rules"][0]["saw"] == {
        "event": "chat.messaged",
        "at": (AT + timedelta(minutes=1)).isoformat(),
        "lasts": 172800.0,
        "most": 2,
        "sent": 2,
    }


async def test_two_at_once_do_not_share_the_last_grant(world: World) -> None:
    service = Service("email")
    world.adapters["email"] = service
    digest = world.plan(message(channels=("email",)), message("two", channels=("email",)))
    person = await world.customer(digest)
    await world.event(person, "chat.granted", AT - timedelta(days=30), template_id="t1")
    await world.event(person, "chat.granted", AT - timedelta(days=30), template_id="another")

    answers = await asyncio.gather(
        deliver(world.worker("w1"), [world.order(person, digest)]),
        deliver(world.worker("w2"), [world.order(person, digest, "two")]),
    )

    found = sorted((a.result, a.reason) for [a] in answers if isinstance(a, Settled))
    assert found == [("sent", None), ("skipped", "quota")]
    assert len(service.taken) == 1


async def test_a_refusal_ends_the_grants_that_are_left(scaled: World) -> None:
    world = scaled
    world.adapters["email"] = Service("email")
    digest = world.plan(message(channels=("email",)))
    person = await world.customer(digest)
    await world.event(person, "chat.granted", AT - timedelta(days=3), template_id="t1")
    await world.event(person, "chat.refused", AT - timedelta(days=2), template_id="t1")

    [answer] = await deliver(world.worker(), [world.order(person, digest)])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("skipped", "window")


async def test_kairos_yaml_says_what_a_quota_is_where_the_account_has_other_terms(scaled: World) -> None:
    world = scaled
    own = Allowed((Allowance("order.paid", 1, timedelta(hours=1)),))
    world.channels["sms"] = ChannelSettings(quotas={"answer": own})
    world.adapters["sms"] = Service("sms")
    digest = world.plan(message(channels=("sms",)))
    person = await world.customer(digest)
    await world.event(person, "order.paid", AT - timedelta(minutes=5))

    [answer] = await deliver(world.worker(), [world.order(person, digest)])

    assert answer == Settled("hi", "sent", AT, "sms")


async def test_an_adapters_hours_hold_where_kairos_yaml_says_nothing(scaled: World) -> None:
    world = scaled
    world.adapters["sms"] = Daylight("sms")
    digest = world.plan(message(channels=("sms",)))
    person = await world.customer(digest)

    [answer] = await deliver(world.worker(), [world.order(person, digest)])

    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert answer == Settled("hi", "deferred", AT, reason="window", until=noon)


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("skip", ("skipped", None, [["sms", "budget"]])),
        ("next_channel", ("accepted", "email", [["sms", "budget"]])),
        ("defer", ("deferred", None, [])),
    ],
)
async def test_a_budget_stops_what_comes_after_it_is_spent(
    scaled: World, then: str, expected: tuple[str, str | None, list[list[str]]]
) -> None:
    world = scaled
    world.channels["sms"] = ChannelSettings(budget=Budget(2, segments=True, then=then))  # type: ignore[arg-type]
    world.fake("sms")
    world.fake("email")
    digest = world.plan(message())
    people = [await world.customer(digest) for _ in range(3)]

    answers = await deliver(world.worker(), [world.order(person, digest) for person in people])

    rows = [await world.row(person) for person in people]
    assert [(row.state, row.units) for row in rows[:2]] == [("accepted", 1)] * 2
    assert (rows[2].state, rows[2].channel, rows[2].passed_over) == expected
    assert await used(world) == [2]
    if then == "defer":
        assert isinstance(answers[2], Settled)
        assert answers[2].until == datetime(2026, 3, 2, tzinfo=UTC)


async def test_the_signature_that_the_provider_adds_costs_too(world: World) -> None:
    own = ChannelSettings(settings={"sign_name": "Nanxun Tea " * 6}, budget=Budget(9, segments=True))
    world.channels["sms"] = own
    world.fake("sms")
    digest = world.plan(message(channels=("sms",)))
    mainland = await world.customer(digest)
    abroad = await world.customer(digest, addresses={"phone": "+4915112345678"})

    await deliver(world.worker(), [world.order(person, digest) for person in (mainland, abroad)])

    assert [(await world.row(person)).units for person in (mainland, abroad)] == [2, 1]


async def test_many_workers_spend_no_more_than_there_is(world: World) -> None:
    world.channels["sms"] = ChannelSettings(budget=Budget(5))
    adapter = world.fake("sms")
    digest = world.plan(message(channels=("sms",)))
    people = [await world.customer(digest) for _ in range(12)]

    await asyncio.gather(
        *(
            deliver(world.worker(f"w{place}"), [world.order(person, digest)])
            for place, person in enumerate(people)
        )
    )

    assert len(adapter.taken) == 5
    assert await used(world) == [5]


async def test_what_is_refused_gives_back_what_it_took(world: World) -> None:
    world.channels["sms"] = ChannelSettings(budget=Budget(1))
    world.fake("sms").then(Rejected(Reason.CONTENT))
    digest = world.plan(message(channels=("sms",)))
    one, other = await world.customer(digest), await world.customer(digest)
    worker = world.worker()

    await deliver(worker, [world.order(one, digest)])
    assert await used(world) == [0]
    [answer] = await deliver(worker, [world.order(other, digest)])

    assert isinstance(answer, Settled)
    assert answer.result == "sent"


async def test_transactional_messages_count_and_go(world: World) -> None:
    world.channels["sms"] = ChannelSettings(budget=Budget(1))
    world.fake("sms")
    code = replace(message("code", channels=("sms",)), category="transactional")
    digest = world.plan(message(channels=("sms",)), code)
    one, other = await world.customer(digest), await world.customer(digest)

    answers = await deliver(
        world.worker(), [world.order(one, digest), *(world.order(p, digest, "code") for p in (one, other))]
    )

    assert [a.result for a in answers if isinstance(a, Settled)] == ["skipped", "sent", "sent"]
    assert await used(world) == [2]


async def test_the_next_channel_of_a_refused_message_is_asked_about_again(world: World) -> None:
    world.policy = Policy((Cap(1, DAY, channel="email"),), on_capped="next_channel")
    world.fake("email")
    digest = world.plan(message(), message("two", channels=("email",)))
    person = await world.customer(digest)

    async def meanwhile() -> None:
        await deliver(world.worker("w2"), [world.order(person, digest, "two")])

    world.adapters["sms"] = Refusing("sms", meanwhile)
    [answer] = await deliver(world.worker(), [world.order(person, digest)])

    assert isinstance(answer, Settled)
    assert (answer.result, dict(answer.passed_over)["email"]) == ("skipped", "capped")


async def test_at_best_time_a_message_waits_for_the_hour_at_which_its_receiver_looks(scaled: World) -> None:
    world = scaled
    world.fake("sms")
    digest = world.plan(replace(message(), send_at="best_time"))
    busy, quiet = await world.customer(digest), await world.customer(digest)
    await world.change(busy, addresses={"time_zone": "Asia/Shanghai"})
    for day in range(3):
        await world.event(busy, "message.clicked", datetime(2026, 2, 10 + day, 12, 40, tzinfo=UTC))
    await world.event(busy, "message.opened", datetime(2026, 2, 10, 4, tzinfo=UTC))
    for minute in range(9):  # a mail service that fetches pictures, when nobody looks
        await world.event(busy, "message.opened", datetime(2026, 2, 10, 5, minute, tzinfo=UTC), proxy=True)
    worker = world.worker()

    answers = await deliver(worker, [world.order(person, digest) for person in (busy, quiet)])

    evening = datetime(2026, 3, 1, 12, tzinfo=UTC)  # 20:00 there
    assert answers[0] == Settled("hi", "deferred", AT, reason="best_time", until=evening)
    assert isinstance(answers[1], Settled)
    assert answers[1].until == datetime(2026, 3, 2, 10, tzinfo=UTC)  # nobody of the audience has ever looked
    [goes] = await deliver(worker, [world.order(busy, digest, at=evening)])
    assert goes == Settled("hi", "sent", evening, "sms")


async def test_who_never_looked_is_written_to_when_the_others_look(scaled: World) -> None:
    world = scaled
    world.fake("sms")
    digest = world.plan(replace(message(), send_at="best_time"), message("before"))
    others = [await world.customer(digest) for _ in range(4)]
    worker = world.worker()
    await deliver(worker, [world.order(person, digest, "before") for person in others])
    for person in others:
        await world.event(person, "message.opened", datetime(2026, 2, 10, 15, 5, tzinfo=UTC))
    quiet = await world.customer(digest)

    [answer] = await deliver(worker, [world.order(quiet, digest)])

    assert isinstance(answer, Settled)
    assert answer.until == datetime(2026, 3, 1, 15, tzinfo=UTC)
