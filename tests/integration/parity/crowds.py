"""Customers and what they do, drawn from a seed: bursts at one instant, repetitions, disorder in a burst."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

START = datetime(2026, 3, 27, 8, 0, tzinfo=UTC)
"""Two days before the clocks go forward in Berlin."""
LENGTH = timedelta(days=3)
EVENTS = ("cart.updated", "cart.updated", "order.paid", "page.viewed")


@dataclass
class Burst:
    """Messages that come in together, at a logical instant, in this order."""

    at: datetime
    messages: list[dict[str, Any]] = field(default_factory=list)


def draw_crowd(random: Random, size: int) -> list[Burst]:
    """The bursts of all customers, by time; the first one says who they are."""
    first = Burst(START, [_identify(random, f"c{number}") for number in range(size)])
    bursts = [burst for number in range(size) for burst in _customer(random, f"c{number}")]
    return [first, *sorted(bursts, key=lambda burst: burst.at)]


def _identify(random: Random, user: str) -> dict[str, Any]:
    chance = random.random
    traits: dict[str, Any] = {
        "tags": random.sample(("a", "b"), random.choice((0, 0, 1, 1, 2))),
        "consents": random.sample(("sms", "email", "push"), random.randint(0, 3)),
    }
    for name, value in (("phone", f"+49301{user[1:]:>06}"), ("email", f"{user}@example.com"), ("push", user)):
        if chance() < 0.7:
            traits[name] = value
    if chance() < 0.6:
        traits["time_zone"] = random.choice(("Asia/Shanghai", "Europe/Berlin", "America/St_Johns"))
    if chance() < 0.5:
        traits["colour"] = random.choice(("red", "green"))
    if chance() < 0.7:
        traits["level"] = random.randint(0, 4)
    if chance() < 0.5:
        traits["renews_at"] = (START + timedelta(hours=random.randint(-10, 90))).isoformat()
    return _message(user, "identify", f"{user}-id", START, traits=traits)


def _customer(random: Random, user: str) -> list[Burst]:
    bursts: list[Burst] = []
    count = 0
    sent: list[dict[str, Any]] = []
    # Minutes near the beginning and now and then whole hours: many things at one instant.
    minutes = {
        random.choice((random.randint(1, 15), 60 * random.randint(1, 71), random.randint(1, 71 * 60)))
        for _ in range(random.randint(1, 8))
    }
    for minute in sorted(minutes):
        burst = Burst(START + timedelta(minutes=minute))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            count += 1
            at = burst.at - timedelta(seconds=random.choice((0, 0, 0, 20, 40)))
            event = random.choice(EVENTS)
            properties: dict[str, Any] = {"n": random.randint(0, 4), "k": random.choice("xy")}
            if random.random() < 0.3:
                due_at = at + timedelta(hours=random.randint(-5, 40))
                properties["due_at"] = due_at.isoformat()
            message = _message(user, "track", f"{user}-{count}", at, event=event, properties=properties)
            burst.messages.append(message)
        random.shuffle(burst.messages)
        if sent and random.random() < 0.3:
            burst.messages.append(random.choice(sent))
        sent += burst.messages
        bursts.append(burst)
    return bursts


def _message(user: str, kind: str, message_id: str, at: datetime, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "userId": user, "messageId": message_id, "timestamp": at.isoformat(), **rest}
