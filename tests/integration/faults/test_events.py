"""Events that come again, from two sides at once, late and in the wrong order."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

from channels.testing.sink import FakeHttpSink
from engine.ingest.intake import accept
from tests.integration.faults.trial import (
    HOUR,
    START,
    assert_undisturbed,
    orders,
    path_project,
    replay,
    track,
)
from tests.integration.harness import SOURCE, Kairos, kairos
from tests.integration.projects import UNPAID_CART

SPEED = 14_400


async def twice_at_once(running: Kairos, message: dict[str, object], times: int) -> None:
    await asyncio.gather(
        *(accept(running.database, SOURCE, [message], datetime.now(UTC)) for _ in range(times))
    )


async def test_events_sent_ten_times_and_by_two_clients_at_once_count_once(
    database_url: str, temporal_address: str
) -> None:
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        async with kairos(database_url, temporal_address, start=START, speed=SPEED, files=files) as running:
            messages = orders(4)
            again: list[asyncio.Task[None]] = []
            for message in messages:
                await replay(running, [message])
                again.append(asyncio.create_task(twice_at_once(running, message, 2)))
                # One client that never hears the answer, and repeats itself for a while.
                again += [asyncio.create_task(_later(running, message, n * 0.2)) for n in range(8)]
            await asyncio.gather(*again)
            await running.ended(4)
            await assert_undisturbed(running.database, files, messages)
        assert len(sink.ledger.ids) == 4 * 4
        assert (sink.ledger.repeats, sink.ledger.changed) == (0, 0)


async def _later(running: Kairos, message: dict[str, object], seconds: float) -> None:
    await asyncio.sleep(seconds)
    await accept(running.database, SOURCE, [message], datetime.now(UTC))


async def test_events_that_arrive_in_any_order_are_taken_in_their_own(
    database_url: str, temporal_address: str
) -> None:
    """All that is sent at once is routed in the order of its own instants, whatever the order it came in."""
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        async with kairos(database_url, temporal_address, start=START, speed=SPEED, files=files) as running:
            # Paid before anything is due, so that no step lies between the two events.
            messages = []
            for number in range(6):
                order, at = f"o{number}", timedelta(minutes=number + 1)
                messages += [
                    track(f"c{number}", "order.placed", at, f"placed-{number}", order_id=order, total=120),
                    track(f"c{number}", "order.paid", at + HOUR / 4, f"paid-{number}", order_id=order),
                ]
            shuffled = list(messages)
            random.Random(7).shuffle(shuffled)
            await running.send(*shuffled)
            await running.ended(6)
            await assert_undisturbed(running.database, files, messages)


async def test_a_payment_that_overtakes_its_cart_keeps_the_reminder_back(
    database_url: str, temporal_address: str
) -> None:
    """`unless` counts what occurred at or after the trigger, also where it was routed before the trigger."""
    async with kairos(database_url, temporal_address, start=START, speed=SPEED, files=UNPAID_CART) as running:
        paid = track("c1", "order.paid", 10 * HOUR / 60, "paid", cart_id="k1")
        cart = track("c1", "cart.updated", HOUR / 60, "cart", cart_id="k1", total=120)
        other = track("c2", "cart.updated", HOUR / 60, "other", cart_id="k2", total=120)
        await running.send(paid)
        await asyncio.sleep(0.5)
        await running.send(cart, other)
        [enrolment] = await running.ended(1)
        assert "k2" in enrolment.one_per
