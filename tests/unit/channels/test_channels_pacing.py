"""Keeping a pace, and sending many at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from channels import Accepted, Message, Outcome, Pacer, Rate, Rejected, Unavailable, Unknown, each
from channels.pacing import alike_together, in_batches
from channels.receipt import Reason


def batch(count: int) -> list[Message]:
    at = datetime(2026, 11, 11, tzinfo=UTC)
    return [
        Message(key=f"k{n}", channel="sms", address="+1", parts={}, template="t", at=at) for n in range(count)
    ]


@pytest.mark.parametrize(
    ("text", "per_second"), [("20/s", 20), ("120/m", 2), ("1.5 / s", 1.5), ("7200/h", 2), ("86400/d", 1)]
)
def test_rates(text: str, per_second: float) -> None:
    assert Rate.parse(text).per_second == pytest.approx(per_second)


async def test_a_pacer_lets_a_second_through_at_once_and_then_keeps_the_pace() -> None:
    pacer = Pacer(Rate(20, timedelta(seconds=1)))
    start = time.monotonic()
    for _ in range(20):
        await pacer.take()
    assert time.monotonic() - start < 0.1
    for _ in range(6):
        await pacer.take()
    assert 0.25 <= time.monotonic() - start < 0.6


async def test_a_slow_rate_has_no_burst() -> None:
    pacer = Pacer(Rate(300, timedelta(minutes=1)))
    start = time.monotonic()
    await asyncio.gather(*(pacer.take() for _ in range(7)))
    # Five in a burst (5/s), the other two a fifth of a second apart.
    assert 0.35 <= time.monotonic() - start < 0.8


async def test_idle_time_does_not_save_up_more_than_one_burst() -> None:
    pacer = Pacer(Rate(50, timedelta(seconds=1)))
    await pacer.take()
    await asyncio.sleep(0.1)
    start = time.monotonic()
    for _ in range(55):
        await pacer.take()
    assert time.monotonic() - start >= 0.08


async def test_each_bounds_how_many_run_together_and_keeps_order() -> None:
    running = most = 0

    async def one(message: Message) -> Accepted:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01 if message.key == "k0" else 0)
        running -= 1
        return Accepted(message.key)

    outcomes = await each(batch(30), one, at_once=4)
    assert outcomes == [Accepted(f"k{n}") for n in range(30)]
    assert most == 4


async def test_each_turns_what_is_raised_into_values(caplog: pytest.LogCaptureFixture) -> None:
    async def one(message: Message) -> Accepted:
        match message.key:
            case "k0":
                raise Rejected(Reason.CONTENT)
            case "k1":
                raise Unavailable("down")
            case "k2":
                raise KeyError("mei@example.net")
        return Accepted()

    with caplog.at_level(logging.DEBUG):
        outcomes = await each(batch(4), one)
    assert outcomes == [
        Rejected(Reason.CONTENT),
        Unavailable("down"),
        Unknown("adapter fault: KeyError"),
        Accepted(),
    ]
    assert "k2" in caplog.text
    assert "mei@" not in caplog.text


async def test_cancelling_a_send_stops_it() -> None:
    async def one(message: Message) -> Accepted:
        await asyncio.sleep(60)
        return Accepted()

    task = asyncio.create_task(each(batch(2), one))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_batch_s_outcomes_are_its_own_and_what_is_raised_counts_for_all_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send(messages: Sequence[Message]) -> Sequence[Outcome]:
        match messages[0].key:
            case "k0":
                return [Accepted(m.key) for m in messages]
            case "k2":
                raise Unknown("lost")
        raise KeyError("mei@example.net")

    found = await in_batches([batch(2), batch(4)[2:], batch(5)[4:]], send)
    assert found == [
        [Accepted("k0"), Accepted("k1")],
        [Unknown("lost"), Unknown("lost")],
        [Unknown("adapter fault: KeyError")],
    ]
    assert "mei@" not in caplog.text


async def test_every_message_of_a_batch_takes_a_token() -> None:
    async def send(messages: Sequence[Message]) -> Sequence[Outcome]:
        return [Accepted() for _ in messages]

    taken = 0

    class Counting(Pacer):
        async def take(self) -> None:
            nonlocal taken
            taken += 1

    await in_batches([batch(3), batch(2)], send, pacer=Counting(Rate(1, timedelta(1))))
    assert taken == 5


async def test_messages_that_are_alike_go_together_and_outcomes_stay_in_their_order() -> None:
    calls: list[list[str]] = []

    def like(message: Message) -> str:
        if message.key == "k3":
            raise Rejected(Reason.CONTENT, "no")
        return "even" if int(message.key[1:]) % 2 == 0 else "odd"

    async def send(batch: Sequence[Message]) -> Sequence[Outcome]:
        calls.append([message.key for message in batch])
        return [Accepted(message.key) for message in batch]

    found = await alike_together(batch(7), like, send, most=2, at_once=1)
    assert [each.provider_id if isinstance(each, Accepted) else None for each in found] == [
        "k0", "k1", "k2", None, "k4", "k5", "k6",
    ]  # fmt: skip
    assert sorted(calls) == [["k0", "k2"], ["k1", "k5"], ["k4", "k6"]]


async def test_an_address_stands_once_in_a_call_where_that_is_asked_for() -> None:
    calls: list[int] = []

    async def send(batch: Sequence[Message]) -> Sequence[Outcome]:
        calls.append(len(batch))
        return [Accepted(None) for _ in batch]

    same = batch(3)
    await alike_together(same, lambda _: 0, send, most=9)
    await alike_together(same, lambda _: 0, send, most=9, addresses_once=True)
    assert calls == [3, 1, 1, 1]
