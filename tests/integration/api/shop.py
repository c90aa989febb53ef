"""A small shop with two journeys, a customer, and enrolments that went all ways: to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.cli.applying import apply_project
from engine.core.codec import digest
from engine.core.commands import Trace
from engine.core.identity import delivery_key, enrolment_id, one_per_text, workflow_id
from engine.ingest.intake import Accepted, accept
from engine.language.project import check_project
from engine.store import delivery_states, enrolments, identities, outbox, profiles, traces
from engine.store.delivery_states import NewDelivery
from engine.store.enrolments import End, Enrolment
from engine.store.outbox import OutboxMessage

ENTERED = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)

UNPAID_CART = """
journey: unpaid-cart
title: Bring back an unpaid cart
trigger:
  event: cart.updated
  one_per: event.cart_id
steps:
  - id: offer-test
    split:
      variants:
        - name: plain
          weight: 50
          steps: [{id: plain-reminder, message: {template: cart, channels: [sms]}}]
        - name: coupon
          weight: 50
          steps: [{id: coupon-reminder, message: {template: cart, channels: [sms]}}]
  - id: pause
    wait: {for: 1d}
  - id: last-call
    message: {template: last-call, channels: [email]}
"""
BY_HAND = """
journey: by-hand
trigger: {manual: {plan: text}}
steps:
  - id: pause
    wait: {for: 1d}
"""
FILES = {
    "kairos.yaml": "{}",
    "journeys/catalog.yaml": """
events:
  cart.updated:
    properties: {cart_id: text}
profile:
  first_name: {type: text, personal: true}
""",
    "journeys/unpaid-cart.yaml": UNPAID_CART,
    "journeys/by-hand.yaml": BY_HAND,
    "templates/cart/sms.text.j2": "Your cart waits",
    "templates/last-call/email.subject.j2": "Last call",
    "templates/last-call/email.text.j2": "Your cart waits no longer",
}


@dataclass
class Shop:
    """`live` and `ended` are enrolments in `unpaid-cart` of the customer `profile_id`, external id `c-17`."""

    database: AsyncEngine
    profile_id: str
    event_id: str
    live: str
    ended: str


async def make_shop(database: AsyncEngine) -> Shop:
    """Fills a fresh, migrated database."""
    project = check_project(FILES)
    await apply_project(database, project, FILES)
    plan = project.plans["unpaid-cart"]
    sent = [
        {"type": "identify", "userId": "c-17", "traits": {"email": "ada@example.com", "first_name": "Ada"}},
        {"type": "track", "userId": "c-17", "event": "cart.updated", "properties": {"cart_id": "k1"}},
        {"type": "track", "userId": "c-17", "event": "cart.updated", "properties": {"cart_id": "k2"}},
    ]
    kept = [each for each in await accept(database, "test", sent, ENTERED) if isinstance(each, Accepted)]
    async with database.begin() as connection:
        found = await identities.find_batch(connection, [("external_id", "c-17")])
        profile_id = found["external_id", "c-17"]
        key = (await profiles.get_batch(connection, [profile_id]))[profile_id].key
        rows = []
        for number, cart in ((1, "k1"), (2, "k2")):
            one_per = one_per_text(cart)
            enrolment = enrolment_id("unpaid-cart", key, one_per, kept[number].event_id)
            rows.append(
                Enrolment(
                    id=enrolment,
                    journey="unpaid-cart",
                    digest=digest(plan),
                    profile_id=profile_id,
                    profile_key=key,
                    one_per=one_per,
                    trigger_event_id=kept[number].event_id,
                    trigger={"cart_id": cart},
                    holdout=False,
                    entered_at=ENTERED + timedelta(minutes=number),
                    workflow_id=workflow_id("unpaid-cart", enrolment),
                    variants={"offer-test": "coupon"},
                )
            )
        await enrolments.insert_batch(connection, rows)
        live, ended = rows
        for each in rows:
            await _walk(connection, each)
        await enrolments.end_batch(connection, [End(ended.id, "goal", ENTERED + timedelta(hours=2))])
    return Shop(database, profile_id, kept[1].event_id, live.id, ended.id)


async def _walk(connection: AsyncConnection, row: Enrolment) -> None:
    at = row.entered_at
    lines = [
        Trace(at, "entered"),
        Trace(at, "took", "offer-test", "coupon"),
        Trace(at, "sent", "coupon-reminder", "sms"),
        Trace(at, "waits", "pause", (at + timedelta(days=1)).isoformat()),
    ]
    await traces.append(connection, row.id, 0, lines)
    order = NewDelivery(
        row.id, "coupon-reminder", row.entry_month, delivery_key(row.id, "coupon-reminder"), row.journey,
        row.profile_id, at, template="cart",
    )  # fmt: skip
    [claimed] = (await delivery_states.claim_batch(connection, [order], "worker-1")).mine.values()
    kept = delivery_states.Settlement(claimed.row_key, 0, "claimed")
    assert await delivery_states.write_batch(connection, [(claimed, kept)], "worker-1")


async def keep_message(database: AsyncEngine, key: str, channel: str, **more: object) -> None:
    """Puts a message into the outbox."""
    fields: dict[str, object] = {"address": "someone", "parts": {"text": "Hello"}, "at": ENTERED, **more}
    async with database.begin() as connection:
        await outbox.keep_batch(connection, [OutboxMessage(key=key, channel=channel, **fields)])  # type: ignore[arg-type]
