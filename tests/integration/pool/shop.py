"""A journey of the pool and customers for it, with a channel that a test has in hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from channels import Message
from channels.pacing import Outcome
from channels.testing.fakes import FakeAdapter
from engine.core.commands import Trace
from engine.pool.ports import PoolPorts
from engine.store import enrolments, pool, traces
from engine.store.enrolments import Enrolment, Filter
from engine.store.pool import Row
from tests.integration.parity.crowds import Burst
from tests.integration.pool.virtual import Virtual

START = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

CATALOGUE = """
events:
  cart.updated: {properties: {cart_id: text}}
  order.paid: {properties: {cart_id: text}}
"""
CART = """
journey: cart
run_as: pool
trigger: {event: cart.updated, reenter: restart}
goal: {event: order.paid}
steps:
  - {id: rest, wait: {for: 1h}}
  - {id: remind, message: {template: note, channels: [sms]}}
  - {id: long, wait: {for: 1h}}
  - {id: last, message: {template: note, channels: [sms]}}
"""
FILES = {
    "kairos.yaml": "version: 1\nconsent: {marketing: not_needed}\n",
    "journeys/catalog.yaml": CATALOGUE,
    "journeys/cart.yaml": CART,
    "templates/note/sms.text.j2": "Your cart waits",
}


class Interrupted(FakeAdapter):
    """Something happens while a call is under way, the first time."""

    def __init__(self, during: Callable[[], Awaitable[None]]) -> None:
        super().__init__("sms")
        self._during: Callable[[], Awaitable[None]] | None = during

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        during, self._during = self._during, None
        if during is not None:
            await during()
        return await super().send(messages)


def use(shop: Virtual, adapter: FakeAdapter) -> None:
    """Sends `sms` by this adapter."""
    shop.ports.work.adapters = {**shop.ports.work.adapters, "sms": adapter}


def other_worker(shop: Virtual, name: str = "another") -> PoolPorts:
    """The ports of a second process on the same database."""
    return PoolPorts(work=replace(shop.ports.work, worker_id=name, in_hand=set()), wall=shop.ports.wall)


def arrive(*users: str) -> Burst:
    traits = {"phone": "+4930100"}
    told = [
        {"type": "identify", "userId": user, "messageId": f"{user}-who", "timestamp": START.isoformat()}
        for user in users
    ]
    return Burst(START, [message | {"traits": traits} for message in told])


def happens(shop: Virtual, event: str, *users: str, id: str = "") -> Burst:
    """The event, now, of these customers."""
    now = shop.clock.now()
    return Burst(
        now,
        [
            {
                "type": "track",
                "userId": user,
                "event": event,
                "messageId": f"{user}-{event}-{now.isoformat()}{id}",
                "timestamp": now.isoformat(),
                "properties": {"cart_id": user},
            }
            for user in users
        ],
    )


async def enter(shop: Virtual, *users: str) -> None:
    """These customers enter, and wait an hour for their first message."""
    await shop.take(arrive(*users))
    await shop.take(happens(shop, "cart.updated", *users))
    await shop.settle()


async def rows(shop: Virtual) -> dict[str, Enrolment]:
    """The last enrolment of each customer, by external id."""
    async with shop.database.connect() as connection:
        found = await enrolments.find(connection, Filter(), limit=1000)
        names = await connection.execute(sa.text("SELECT id::text AS id, external_id FROM profiles"))
        known = {row.id: row.external_id for row in names}
    last: dict[str, Enrolment] = {}
    for row in reversed(found):
        last[known[row.profile_id]] = row
    return last


async def pool_row(shop: Virtual, user: str) -> Row | None:
    row = (await rows(shop))[user]
    async with shop.database.connect() as connection:
        found = await pool.get_batch(connection, [row.id])
    return found[0] if found else None


async def trace(shop: Virtual, enrolment_id: str) -> list[tuple[Any, ...]]:
    """(result, step or detail, minutes after the start) of what all drivers share."""
    async with shop.database.connect() as connection:
        lines = (await traces.read_batch(connection, [enrolment_id])).get(enrolment_id, [])
    return [_line(line) for line in lines if line.result not in ("ignored", "entered")]


def _line(line: Trace) -> tuple[Any, ...]:
    return (line.result, line.step or line.detail, (line.at - START) / MINUTE)
