"""The purchases as the messages that the shop's website would send, and as files to import.

The file knows days only, so the time of day is made up: from nine in the morning to nine in the evening, UTC.
Who the customers are is made up as well (`examples.running.people`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from examples.cdnow.records import Purchase, purchases
from examples.running.people import share, traits
from examples.running.replay import Message

SINCE: Final = datetime(1998, 1, 1, tzinfo=UTC)
"""What came before is history."""
DAYS: Final = 181
SOURCE: Final = "cdnow"


class Order(NamedTuple):
    """A purchase with its time of day. `number` counts the lines of the file from 1."""

    number: int
    customer: str
    at: datetime
    total: float

    @property
    def message_id(self) -> str:
        return f"order-{self.number:04d}"


@cache
def orders() -> tuple[Order, ...]:
    """All orders by time, ties by line."""
    found = (_order(number, each) for number, each in enumerate(purchases(), start=1))
    return tuple(sorted(found, key=lambda order: (order.at, order.number)))


def _order(number: int, purchase: Purchase) -> Order:
    seconds = int((9 + 12 * share("hour", f"cdnow {number}")) * 3600)
    return Order(number, purchase.customer, purchase.at + timedelta(seconds=seconds), purchase.total)


def customers() -> list[str]:
    return sorted({order.customer for order in orders()})


def who(customer: str) -> dict[str, Any]:
    """The customer's profile, made up; `consents` are the channels by which we may write."""
    known = traits(f"cdnow_{customer}")
    return {**known, "consents": [channel for channel, granted in known["consents"].items() if granted]}


def messages(days: float = DAYS) -> list[Message]:
    """Orders since the beginning of 1998, for so many days."""
    return [_track(order) for order in orders() if SINCE <= order.at < SINCE + timedelta(days=days)]


def history() -> list[Message]:
    """Who the customers are and what they bought before, for the simulation."""
    return [*map(_identify, customers()), *(_track(order) for order in before())]


def before() -> list[Order]:
    """Orders of 1997."""
    return [order for order in orders() if order.at < SINCE]


def write_customers(path: Path) -> None:
    """The customers as a file that `kairos import customers` takes."""
    people = {customer: who(customer) for customer in customers()}
    kinds = sorted({name for known in people.values() for name in known} - {"consents"})
    rows = (
        [customer, *(known.get(kind, "") for kind in kinds), ";".join(known["consents"])]
        for customer, known in people.items()
    )
    _write(path, ["customer_id", *kinds, "consents"], rows)


def write_orders(path: Path, found: Iterable[Order]) -> None:
    """Orders as a file that `kairos import events --event order.paid` takes."""
    rows = ([o.message_id, o.customer, o.at.isoformat(), o.message_id, o.total] for o in found)
    _write(path, ["message_id", "customer_id", "occurred_at", "order_id", "total"], rows)


def _write(path: Path, head: list[str], rows: Iterable[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def _identify(customer: str) -> Message:
    return {
        "type": "identify",
        "messageId": f"identify-{customer}",
        "userId": customer,
        "timestamp": datetime(1997, 1, 1, tzinfo=UTC).isoformat(),
        "traits": who(customer),
    }


def _track(order: Order) -> Message:
    return {
        "type": "track",
        "messageId": order.message_id,
        "userId": order.customer,
        "event": "order.paid",
        "timestamp": order.at.isoformat(),
        "properties": {"order_id": order.message_id, "total": order.total},
    }
