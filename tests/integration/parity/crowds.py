"""Customers and what they do, drawn from a seed: bursts at one instant, repetitions, disorder, late arrival;
and operators who pause journeys in the middle of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

START = datetime(2026, 3, 27, 8, 0, tzinfo=UTC)
"""Two days before the clocks go forward in Berlin."""
LENGTH = timedelta(days=3)
EVENTS = ("cart.updated", "cart.updated", "order.paid", "page.viewed")
NEVER = timedelta(0)


@dataclass
class Burst:
    """Messages that come in together, at a logical instant, in this order."""

    at: datetime
    messages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Operation:
    """An operator pauses or resumes a journey, at a logical instant."""

    at: datetime
    journey: str
    action: Literal["pause", "resume"]


def draw_crowd(
    random: Random,
    size: int,
    *,
    offline: timedelta = NEVER,
    whole_minutes: bool = False,
    together: bool = False,
) -> list[Burst]:
    """The bursts of all customers, by time; the first one says who they are.

    Args:
        offline: some customers are out of reach now and then, for as long as this: what they did comes in
            when they are back, in any order.
        whole_minutes: everything happens at a whole minute, and comes in at once.
        together: all customers begin at one instant, and what they do falls on a few instants.
    """
    first = Burst(START, [_identify(random, f"c{number}") for number in range(size)])
    bursts: list[Burst] = []
    for number in range(size):
        own = _customer(random, f"c{number}", whole_minutes, _minutes(random, together))
        bursts += _delayed(random, own, offline) if offline and random.random() < 0.5 else own
    return [first, *sorted(bursts, key=lambda burst: burst.at)]


def draw_operations(random: Random, journeys: Iterable[str]) -> list[Operation]:
    """Some journeys are paused and resumed, once or twice, by time.

    On a scaled clock an operator's order is taken at once, while a timer fires the grace later. So the
    seconds are chosen such that no timer is due right before an order: in a crowd of whole minutes they are
    at :00, and after a resume at :30 or :50.
    """
    found = []
    for journey in journeys:
        at = START
        for seconds in (30, 50):
            if random.random() < 0.6:
                for action in ("pause", "resume"):
                    minutes = random.choice((random.randint(1, 20), random.randint(1, 24 * 60)))
                    at = at.replace(second=0) + timedelta(minutes=minutes, seconds=seconds)
                    found.append(Operation(at, journey, "pause" if action == "pause" else "resume"))
    return sorted(found, key=lambda operation: operation.at)


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


def _minutes(random: Random, together: bool) -> list[int]:
    """When a customer does something, in minutes after the start."""
    if together:
        return [1, *sorted(random.sample((6, 61, 90, 301, 24 * 60 + 1), random.randint(0, 2)))]
    # Minutes near the beginning and now and then whole hours: many things at one instant.
    return sorted(
        {
            random.choice((random.randint(1, 15), 60 * random.randint(1, 71), random.randint(1, 71 * 60)))
            for _ in range(random.randint(1, 8))
        }
    )


def _customer(random: Random, user: str, whole_minutes: bool, minutes: list[int]) -> list[Burst]:
    bursts: list[Burst] = []
    count = 0
    sent: list[dict[str, Any]] = []
    for minute in minutes:
        burst = Burst(START + timedelta(minutes=minute))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            count += 1
            ago = random.choice((0, 0, 0, 20, 40))
            at = burst.at - timedelta(seconds=0 if whole_minutes else ago)
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


def _delayed(random: Random, bursts: list[Burst], offline: timedelta) -> list[Burst]:
    """Bursts that follow each other within `offline` come in together, with the last of them."""
    found: list[Burst] = []
    since = START
    for burst in bursts:
        first = min(datetime.fromisoformat(message["timestamp"]) for message in burst.messages)
        if found and burst.at - since <= offline:
            found[-1] = Burst(burst.at, [*found[-1].messages, *burst.messages])
            random.shuffle(found[-1].messages)
        else:
            found.append(burst)
            since = first
    return found


def _message(user: str, kind: str, message_id: str, at: datetime, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "userId": user, "messageId": message_id, "timestamp": at.isoformat(), **rest}
