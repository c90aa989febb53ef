"""The recorded clicks as the messages that the shop's website would send, in Segment's shape.

`python -m examples.shop.stream > may.jsonl` writes them as JSON lines for
`kairos simulate unpaid-cart --events may.jsonl --project examples/shop`.

Events keep the names they were recorded under: the catalogue's `also_called` says that `add_to_cart` and
`cart` are `cart.updated`, `purchase` is `order.paid`, and so on. What no journey needs is sent as well. All
visitors of the period are identified a minute before it begins.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from examples.running.people import share, traits
from examples.running.replay import Message

FILE: Final = Path(__file__).parent / "data" / "clickstream.csv.gz"
MAY: Final = datetime(2024, 5, 1, tzinfo=UTC)
DAYS: Final = 31
BEFORE: Final = timedelta(minutes=1)
"""How long before the period its visitors are identified."""


@dataclass(frozen=True, slots=True)
class Click:
    """One line of the recording. `line` counts from 1, without the heading."""

    line: int
    user: str
    session: str
    event: str
    at: datetime
    platform: str
    lifecycle: str


def clicks(start: datetime = MAY, days: float = DAYS) -> list[Click]:
    """The recording from `start` on for so many days, by time, ties by line."""
    end = start + timedelta(days=days)
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
        found = [_click(line, row) for line, row in enumerate(csv.DictReader(file), start=1)]
    return sorted((c for c in found if start <= c.at < end), key=lambda click: (click.at, click.line))


def _click(line: int, row: dict[str, str]) -> Click:
    at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
    return Click(
        line, row["user_id"], row["session_id"], row["event"], at, row["platform"], row["user_lifecycle"]
    )


def messages(start: datetime = MAY, days: float = DAYS) -> list[Message]:
    """All messages of the period in the order they are sent: who the visitors are, then what they do."""
    found = clicks(start, days)
    users = sorted({click.user for click in found})
    return [*(identify(user, start - BEFORE) for user in users), *map(track, found)]


def identify(user: str, at: datetime) -> Message:
    return {
        "type": "identify",
        "messageId": f"identify-{user}",
        "userId": user,
        "timestamp": at.isoformat(),
        "traits": traits(user),
    }


def track(click: Click) -> Message:
    return {
        "type": "track",
        "messageId": f"click-{click.line:05d}",
        "userId": click.user,
        "event": click.event,
        "timestamp": click.at.isoformat(),
        "properties": dict(_properties(click)),
    }


def cart_total(session: str) -> int:
    """What lies in this session's cart, in yuan: 30 to 479, the same at every change."""
    return 30 + int(share("cart", session) * 450)


def _properties(click: Click) -> Iterator[tuple[str, Any]]:
    yield "platform", click.platform
    yield "visitor", click.lifecycle
    match click.event:
        case "add_to_cart" | "cart":
            yield "cart_id", click.session
            yield "total", cart_total(click.session)
        case "purchase":
            yield "cart_id", click.session
            yield "order_id", f"order-{click.line:05d}"
            yield "total", cart_total(click.session)
        case _:
            yield "session_id", click.session
            yield "page", click.event


def main() -> None:
    """Writes the messages as JSON lines to stdout."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.stream", description=main.__doc__)
    parser.add_argument("--start", default=MAY.date().isoformat(), help="first day, in UTC (%(default)s)")
    parser.add_argument("--days", type=float, default=DAYS, help="how many (%(default)s)")
    given = parser.parse_args()
    start = datetime.fromisoformat(given.start).replace(tzinfo=UTC)
    for message in messages(start, given.days):
        sys.stdout.write(json.dumps(message, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
