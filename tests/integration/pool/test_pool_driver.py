"""The pool on a real Temporal server: rows are found, advanced, woken, paused and ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from engine.pool.workflow import journey_id, shard_id
from engine.store import pool
from engine.store.pool import pool_shard
from tests.integration.harness import POOL, kairos

CATALOGUE = """
events:
  cart.updated: {properties: {cart_id: text, total: number}}
  order.paid: {properties: {cart_id: text}}
"""
CART = """
journey: cart
run_as: pool
trigger: {event: cart.updated, one_per: event.cart_id}
goal: {event: order.paid, where: event.cart_id == trigger.cart_id}
steps:
  - {id: remind, message: {template: remind, channels: [sms]}}
  - {id: rest, wait: {for: 1s}}
  - {id: again, message: {template: remind, channels: [sms]}}
  - {id: look, wait: {for_event: order.paid, up_to: 1h}}
"""
FILES = {
    "journeys/catalog.yaml": CATALOGUE,
    "journeys/cart.yaml": CART,
    "templates/remind/sms.text.j2": "Your cart is worth {{ trigger.total }}",
    "kairos.yaml": "consent: {marketing: not_needed}\n",
}


def identify(user: str) -> dict[str, object]:
    return {
        "type": "identify",
        "userId": user,
        "messageId": f"{user}-id",
        "traits": {"phone": f"+4930{user[1:]}"},
    }


def track(user: str, event: str, number: int = 0, **properties: object) -> dict[str, object]:
    return {
        "type": "track",
        "userId": user,
        "event": event,
        "messageId": f"{user}-{event}-{number}",
        "timestamp": datetime.now(UTC).isoformat(),
        "properties": properties,
    }


@pytest.mark.timeout(120)
async def test_rows_go_their_way_and_a_goal_ends_them(database_url: str, temporal_address: str) -> None:
    async with kairos(database_url, temporal_address, files=FILES, parts=POOL) as running:
        users = [f"u{number}" for number in range(20)]
        await running.send(*map(identify, users))
        await running.send(*(track(user, "cart.updated", cart_id="k1", total=10) for user in users))
        async with asyncio.timeout(40):
            while len(await running.outbox()) < 40:  # noqa: ASYNC110 - the truth is in the table
                await asyncio.sleep(0.1)
        live = await running.enrolments()
        assert {(one.driver, one.status) for one in live} == {("pool", "live")}
        # A message is in the outbox a moment before its row is stored at the wait that follows.
        async with asyncio.timeout(20):
            while True:
                async with running.database.connect() as connection:
                    standing = await pool.standing(connection, "cart", None, datetime.now(UTC))
                if not standing.due:
                    break
                await asyncio.sleep(0.1)
        assert standing.live == 20
        details = await running.client.get_workflow_handle(journey_id("cart")).describe()
        assert details.search_attributes
        shard = pool_shard(live[0].profile_id)
        told = await running.client.get_workflow_handle(shard_id("cart", shard)).describe()
        assert told.parent_id == journey_id("cart")
        await running.send(*(track(user, "order.paid", cart_id="k1") for user in users))
        ended = await running.ended(20)
        assert {one.exit for one in ended} == {"goal"}
        assert len(await running.outbox()) == 40
        steps = [line[0] for line in await running.trace(ended[0].id)]
        assert steps == [
            "entered",
            "began",
            "sent",
            "began",
            "waits",
            "began",
            "sent",
            "began",
            "waits",
            "exited",
        ]
