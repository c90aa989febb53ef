"""From an event that comes in to a message that arrives, on real PostgreSQL and Temporal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.harness import kairos
from tests.integration.projects import UNPAID_CART

START = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)


def identify(user: str, **traits: Any) -> dict[str, Any]:
    return {
        "type": "identify",
        "userId": user,
        "traits": traits,
        "messageId": f"id-{user}",
        "timestamp": START.isoformat(),
    }


def track(user: str, name: str, after: timedelta, message_id: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "userId": user,
        "event": name,
        "properties": properties,
        "messageId": message_id,
        "timestamp": (START + after).isoformat(),
    }


MINUTES = timedelta(minutes=1)


async def test_unpaid_cart_reaches_its_last_call(database_url: str, temporal_address: str) -> None:
    async with kairos(database_url, temporal_address, start=START, speed=20_000, grace=1) as running:
        await running.apply(UNPAID_CART)
        await running.send(
            identify("c1", phone="+8613800000001", consents=["sms"]),
            identify("c2", phone="+8613800000002", consents=["sms"]),
            track("c1", "cart.updated", 1 * MINUTES, "e1", cart_id="k1", total=120),
            track("c2", "cart.updated", 1 * MINUTES, "e2", cart_id="k2", total=80),
            track("c2", "order.paid", 20 * MINUTES, "e3", cart_id="k2"),
        )
        [enrolment] = await running.ended(1)
        messages = await running.outbox()
        trace = await running.trace(enrolment.id)
    assert enrolment.exit == "completed"
    assert enrolment.entered_at == START + 31 * MINUTES
    assert enrolment.ended_at == START + 31 * MINUTES + timedelta(days=1)
    sent = sorted((m.at, m.channel, m.template) for m in messages if m.at)
    assert [(at - enrolment.entered_at, channel) for at, channel, _ in sent] == [
        (timedelta(0), "sms"),
        (timedelta(days=1), "sms"),
    ]
    assert sent[-1][2] == "cart-last-call"
    assert [line[0] for line in trace][-1] == "exited"
    assert ("took", "look", "otherwise") in trace


async def test_paying_later_is_the_goal_and_stops_the_last_call(
    database_url: str, temporal_address: str
) -> None:
    async with kairos(database_url, temporal_address, start=START, speed=20_000, grace=1) as running:
        await running.apply(UNPAID_CART)
        await running.send(
            identify("c1", phone="+8613800000001", consents=["sms"]),
            track("c1", "cart.updated", 1 * MINUTES, "e1", cart_id="k1", total=120),
            track("c1", "order.paid", 90 * MINUTES, "e2", cart_id="k1"),
        )
        [enrolment] = await running.ended(1)
        messages = await running.outbox()
    assert (enrolment.exit, enrolment.ended_at) == ("goal", START + 90 * MINUTES)
    assert enrolment.converted_at == START + 90 * MINUTES
    assert len(messages) == 1
