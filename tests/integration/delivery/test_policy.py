"""Caps, quiet hours and hours of channels, on a real database: nothing goes past them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.errors import Rejected, Throttled, Unknown
from channels.message import Message
from channels.pacing import Outcome
from channels.receipt import Reason
from channels.testing.fakes import FakeAdapter
from engine.core.inputs import Settled
from engine.core.limits import Budget, Cap, Hours, Policy, QuietHours
from engine.delivery import Retry, deliver
from engine.language.installation import ChannelSettings
from engine.store import budgets, merging

from .conftest import AT, PLAIN, World, message

DAY = timedelta(days=1)
ONE_A_DAY = Policy((Cap(1, DAY),))
WAITS = replace(ONE_A_DAY, on_capped="defer", max_defer=timedelta(days=3))
NIGHT = Policy(quiet_hours=QuietHours("22:00", "08:00"))


class Stuck(FakeAdapter):
    """Its call never comes back."""

    def __init__(self, channel: str, **rest: Any) -> None:
        super().__init__(channel, **rest)
        self.reached = asyncio.Event()

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")


@pytest.fixture
def scaled(world: World) -> World:
    """Time that knows no lag: what is deferred is asked about at its very instant."""
    world.clock.scaled = True
    return world


async def test_of_two_journeys_at_the_same_moment_one_gets_the_last_place(world: World) -> None:
    world.policy = ONE_A_DAY
    adapter = world.fake("sms")
    one, two = world.plan(message()), world.plan(message(), journey="other")
    people = [await world.customer(one) for _ in range(8)]
    again = [await world.again(person, two) for person in people]

    answers = await asyncio.gather(
        *(
            deliver(world.worker(f"w{place}{digest}"), [world.order(enrolment, digest)])
            for digest, enrolments in ((one, people), (two, again))
            for place, enrolment in enumerate(enrolments)
        )
    )

    results = [answer.result for [answer] in answers if isinstance(answer, Settled)]
    assert sorted(results) == ["sent"] * 8 + ["skipped"] * 8
    assert len(adapter.taken) == 8


async def test_two_messages_of_one_batch_do_not_share_the_last_place(world: World) -> None:
    world.policy = ONE_A_DAY
    world.fake("sms")
    digest = world.plan(message(), message("second"))
    person = await world.customer(digest)

    answers = await deliver(
        world.worker(), [world.order(person, digest), world.order(person, digest, "second")]
    )

    assert answers == [
        Settled("hi", "sent", AT, "sms"),
        Settled("second", "skipped", AT, reason="capped", passed_over=(("sms", "capped"),)),
    ]
    row = await world.row(person, "second")
    assert row.why == [
        {
            "at": AT.isoformat(),
            "verdict": "skip",
            "rules": [
                {
                    "channel": "sms",
                    "reason": "capped",
                    "saw": {
                        "per": "person",
                        "category": "marketing",
                        "most": 1,
                        "within": 86400.0,
                        "sent": 1,
                        "free_at": (AT + DAY).isoformat(),
                    },
                }
            ],
        }
    ]


async def test_a_message_that_waits_for_a_place_goes_when_there_is_one(scaled: World) -> None:
    world = scaled
    world.policy = WAITS
    adapter = world.fake("sms")
    digest = world.plan(message(), message("second"))
    person = await world.customer(digest)
    worker = world.worker()
    await deliver(worker, [world.order(person, digest)])

    hour = timedelta(hours=1)
    [waits] = await deliver(worker, [world.order(person, digest, "second", AT + hour)])
    assert waits == Settled("second", "deferred", AT + hour, reason="capped", until=AT + DAY)
    row = await world.row(person, "second")
    assert (row.state, row.reason, row.due_at, row.handed_at) == ("deferred", "capped", AT + DAY, None)

    [goes] = await deliver(worker, [world.order(person, digest, "second", AT + DAY)])
    assert goes == Settled("second", "sent", AT + DAY, "sms")
    row = await world.row(person, "second")
    assert (row.at, row.handed_at) == (AT + hour, AT + DAY)
    assert [each["verdict"] for each in row.why or ()] == ["defer"]
    assert len(adapter.taken) == 2


async def test_no_message_waits_longer_than_max_defer_counted_from_its_first_try(scaled: World) -> None:
    world = scaled
    world.policy = replace(WAITS, max_defer=timedelta(hours=30))
    world.fake("sms")
    digest = world.plan(message(), message("second"), message("third"))
    person = await world.customer(digest)
    worker = world.worker()
    await deliver(worker, [world.order(person, digest)])
    [waits] = await deliver(worker, [world.order(person, digest, "second")])
    assert waits.kind == "settled"
    assert waits.until == AT + DAY
    # Somebody else takes the place that it waited for.
    await deliver(worker, [world.order(person, digest, "third", AT + DAY)])

    [gives_up] = await deliver(worker, [world.order(person, digest, "second", AT + DAY)])

    assert isinstance(gives_up, Settled)
    assert (gives_up.result, gives_up.reason) == ("skipped", "capped")
    row = await world.row(person, "second")
    assert [each["verdict"] for each in row.why or ()] == ["defer", "skip"]


async def test_a_refused_message_gives_its_place_back(world: World) -> None:
    world.policy = ONE_A_DAY
    world.fake("sms").then(Rejected(Reason.CONTENT))
    digest = world.plan(message(channels=("sms",)), message("second", channels=("sms",)))
    person = await world.customer(digest)
    worker = world.worker()

    [refused] = await deliver(worker, [world.order(person, digest)])
    [goes] = await deliver(worker, [world.order(person, digest, "second")])

    assert isinstance(refused, Settled)
    assert isinstance(goes, Settled)
    assert (refused.result, goes.result) == ("failed", "sent")


async def test_a_message_that_perhaps_went_out_keeps_its_place_and_is_repeated_all_the_same(
    world: World,
) -> None:
    world.policy = ONE_A_DAY
    world.channels["sms"] = ChannelSettings(on_unknown="retry")
    adapter = world.fake("sms", PLAIN)
    adapter.then(Unknown("no answer"))
    digest = world.plan(message(channels=("sms",)), message("second", channels=("sms",)))
    person = await world.customer(digest)
    worker = world.worker()

    [again] = await deliver(worker, [world.order(person, digest)])
    [other] = await deliver(worker, [world.order(person, digest, "second")])
    [goes] = await deliver(worker, [world.order(person, digest)])

    assert isinstance(again, Retry)
    assert isinstance(other, Settled)
    assert isinstance(goes, Settled)
    assert (other.result, other.reason, goes.result) == ("skipped", "capped", "sent")


async def test_a_throttled_message_asks_for_its_place_again(world: World) -> None:
    world.policy = ONE_A_DAY
    world.fake("sms").then(Throttled(timedelta(seconds=1)))
    digest = world.plan(message(channels=("sms",)), message("second", channels=("sms",)))
    person = await world.customer(digest)
    worker = world.worker()

    await deliver(worker, [world.order(person, digest)])
    [other] = await deliver(worker, [world.order(person, digest, "second")])
    [late] = await deliver(worker, [world.order(person, digest)])

    assert isinstance(other, Settled)
    assert isinstance(late, Settled)
    assert (other.result, late.result, late.reason) == ("sent", "skipped", "capped")


async def test_the_more_important_journeys_message_goes_first_not_the_one_that_came_first(
    scaled: World,
) -> None:
    world = scaled
    world.policy, world.priorities = WAITS, ("vip",)
    world.fake("sms")
    plain, vip = world.plan(message(), message("second")), world.plan(message(), journey="vip")
    person = await world.customer(plain)
    important = await world.again(person, vip)
    worker = world.worker()
    await deliver(worker, [world.order(person, plain)])
    # Both wait for the same place; the less important one came first.
    await deliver(worker, [world.order(person, plain, "second", AT + timedelta(hours=1))])
    await deliver(worker, [world.order(important, vip, at=AT + timedelta(hours=2))])

    due = AT + DAY
    [waits_on] = await deliver(worker, [world.order(person, plain, "second", due)])
    [goes] = await deliver(worker, [world.order(important, vip, at=due)])

    assert isinstance(waits_on, Settled)
    assert (waits_on.result, waits_on.until) == ("deferred", due + DAY)
    assert goes == Settled("hi", "sent", due, "sms")
    row = await world.row(person, "second")
    assert row.why is not None
    assert row.why[-1]["rules"][0]["saw"]["left_to"] == ["vip"]


async def test_in_one_batch_the_more_important_one_is_judged_first(world: World) -> None:
    world.policy, world.priorities = ONE_A_DAY, ("vip",)
    world.fake("sms")
    plain, vip = world.plan(message()), world.plan(message(), journey="vip")
    person = await world.customer(plain)
    important = await world.again(person, vip)

    answers = await deliver(world.worker(), [world.order(person, plain), world.order(important, vip)])

    assert [answer.result for answer in answers if isinstance(answer, Settled)] == ["skipped", "sent"]


async def test_what_an_ended_enrolment_was_waiting_for_is_kept_for_nobody(scaled: World) -> None:
    world = scaled
    world.policy, world.priorities = WAITS, ("vip",)
    world.fake("sms")
    plain, vip = world.plan(message(), message("second")), world.plan(message(), journey="vip")
    person = await world.customer(plain)
    important = await world.again(person, vip)
    worker = world.worker()
    await deliver(worker, [world.order(person, plain)])
    await deliver(worker, [world.order(important, vip)])
    await world.end(important)

    [goes] = await deliver(worker, [world.order(person, plain, "second", AT + DAY)])

    assert goes == Settled("second", "sent", AT + DAY, "sms")


async def test_what_was_sent_before_a_merge_counts_after_it(world: World) -> None:
    world.policy = ONE_A_DAY
    world.fake("sms")
    digest = world.plan(message(), message("second"))
    one, other = await world.customer(digest), await world.customer(digest, addresses={})
    worker = world.worker()
    await deliver(worker, [world.order(one, digest)])
    async with world.database.begin() as connection:
        loser = (await world.enrolment(one)).profile_id
        survivor = (await world.enrolment(other)).profile_id
        await merging.merge(connection, survivor, loser, AT, ())

    [answer] = await deliver(worker, [world.order(other, digest, "second")])

    assert isinstance(answer, Settled)
    assert (answer.result, answer.reason) == ("skipped", "capped")


async def test_at_night_a_message_waits_for_the_morning_where_the_customer_is(scaled: World) -> None:
    world = scaled
    world.policy = NIGHT
    world.fake("sms")
    digest = world.plan(message())
    person = await world.customer(digest)
    await world.change(person, addresses={"time_zone": "Europe/Berlin"})
    evening = datetime(2026, 3, 28, 21, 30, tzinfo=UTC)  # 22:30; the clock goes forward that night

    [waits] = await deliver(world.worker(), [world.order(person, digest, at=evening)])

    morning = datetime(2026, 3, 29, 6, 0, tzinfo=UTC)
    assert waits == Settled("hi", "deferred", evening, reason="quiet_hours", until=morning)
    [goes] = await deliver(world.worker(), [world.order(person, digest, at=morning)])
    assert goes == Settled("hi", "sent", morning, "sms")


async def test_in_real_time_the_morning_after_is_spread(world: World) -> None:
    world.policy = NIGHT
    world.clock.at = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
    world.fake("sms")
    digest = world.plan(message())
    people = [await world.customer(digest) for _ in range(20)]

    answers = await deliver(world.worker(), [world.order(person, digest) for person in people])

    morning = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    until = [a.until for a in answers if isinstance(a, Settled) and a.until is not None]
    assert len(set(until)) > 10
    assert all(morning <= at < morning + timedelta(minutes=30) for at in until)


async def test_outside_its_hours_a_channel_is_passed_over_or_waited_for(scaled: World) -> None:
    world = scaled
    world.channels["sms"] = ChannelSettings(hours=Hours("08:00", "10:30"))
    world.fake("sms")
    world.fake("email")
    both, alone = world.plan(message()), world.plan(message(channels=("sms",)))
    one, other = await world.customer(both), await world.customer(alone)

    [by_mail] = await deliver(world.worker(), [world.order(one, both)])
    [waits] = await deliver(world.worker(), [world.order(other, alone)])

    assert isinstance(by_mail, Settled)
    assert (by_mail.channel, by_mail.result) == ("email", "sent")
    assert waits == Settled(
        "hi", "deferred", AT, reason="window", until=datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    )


async def test_a_worker_that_dies_during_a_call_leaves_its_place_taken(world: World) -> None:
    world.policy = ONE_A_DAY
    world.channels["sms"] = ChannelSettings(on_unknown="retry", budget=Budget(1))
    stuck = Stuck("sms", capabilities=PLAIN)
    world.adapters["sms"] = stuck
    digest = world.plan(message(channels=("sms",)), message("second", channels=("sms",)))
    person = await world.customer(digest)
    dying = asyncio.create_task(deliver(world.worker("w1"), [world.order(person, digest)]))
    await stuck.reached.wait()
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    assert (await world.row(person)).state == "sending"
    adapter = world.fake("sms", PLAIN)

    [other] = await deliver(world.worker("w2"), [world.order(person, digest, "second")])
    [again] = await deliver(world.worker("w1"), [world.order(person, digest)])

    assert isinstance(other, Settled)
    assert (other.result, other.reason) == ("skipped", "capped")
    assert again == Settled("hi", "sent", AT, "sms")
    assert len(adapter.taken) == 1
    assert (await world.row(person)).units == 1
    async with world.database.connect() as connection:
        assert [units for _, _, units in await budgets.used(connection, AT - DAY)] == [1]
