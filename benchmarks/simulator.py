"""The simulator on `unpaid-cart`: how many enrolments a second on one core, without rendering.

The stream has one unpaid cart a customer, now and then with a click or a payment, so that every way through
the journey is taken. It is read, judged and reported on as `kairos simulate` does; making it is not counted.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.findings import Finding, measured
from benchmarks.lab import Lab
from engine.language.project import check_project
from engine.simulator import simulate

FULL = 5_000
BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
PROJECT = {
    "kairos.yaml": "version: 1\n",
    "journeys/catalog.yaml": """events:
  cart.updated: {properties: {cart_id: text, total: number}}
  cart.emptied: {properties: {cart_id: text}}
  order.paid: {properties: {cart_id: text, order_id: text, total: number}}
tags: [staff, cart-engaged]
""",
    "journeys/unpaid-cart.yaml": """journey: unpaid-cart
title: Bring back an unpaid cart
trigger:
  event: cart.updated
  where: event.total >= 50 and not has_tag("staff")
  one_per: event.cart_id
  reenter: after_exit
  settle: 30m
  unless: {event: order.paid, where: event.cart_id == trigger.cart_id}
goal: {event: order.paid, where: event.cart_id == trigger.cart_id, within: 3d}
exit_when:
  - {event: cart.emptied, where: event.cart_id == trigger.cart_id}
holdout: 5%
steps:
  - id: offer-test
    split:
      variants:
        - name: plain
          weight: 50
          steps: [{id: plain-reminder, message: {template: cart-reminder, channels: [wechat, push, sms]}}]
        - name: coupon
          weight: 50
          steps: [{id: coupon-reminder, message: {template: cart-coupon, channels: [wechat, push, sms]}}]
  - id: look
    wait:
      for_event: message.clicked
      up_to: 1d
      then: [{id: thank, update: {add_tags: [cart-engaged]}}]
      otherwise: [{id: last-call, message: {template: cart-last-call, channels: [sms]}}]
""",
    **{
        f"templates/{name}/{part}.j2": text
        for name in ("cart-reminder", "cart-coupon", "cart-last-call")
        for part, text in (
            ("sms.text", "Your cart waits.\n"),
            ("push.title", "Your cart\n"),
            ("push.body", "It waits.\n"),
            ("wechat.json", '{"text": "Your cart waits."}\n'),
        )
    },
}


async def run(lab: Lab) -> list[Finding]:
    """Enrolments a second of processor time."""
    project = check_project(PROJECT)
    if project.errors:
        raise AssertionError(project.errors)
    size = lab.sized(FULL, 200)
    messages = stream(size)
    rates = []
    for number in range(lab.pairs + 1):
        began = time.process_time()
        report = await asyncio.to_thread(simulate, project, ["unpaid-cart"], messages)
        spent = time.process_time() - began
        entered = report.journeys["unpaid-cart"].entered
        if entered < size * 0.8 or report.journeys["unpaid-cart"].live:
            raise AssertionError(
                f"{entered} of {size} entered, {report.journeys['unpaid-cart'].live} are live"
            )
        if number:  # the first fills caches
            rates.append(entered / spent)
        del report
    return [
        measured(
            "simulator, `unpaid-cart`, without rendering",
            rates,
            5_000,
            "at least",
            unit="enrolments a second a core",
            notes=[f"{size:,} customers with {len(messages):,} messages a run, {len(rates)} runs, CPU time"],
        )
    ]


def stream(customers: int) -> list[dict[str, Any]]:
    """What so many customers do: each has one cart, a seventh pays at once, a tenth after the reminder."""
    messages: list[dict[str, Any]] = []

    def track(number: int, at: datetime, event: str, **properties: Any) -> None:
        messages.append(
            {
                "type": "track",
                "userId": f"customer-{number}",
                "event": event,
                "messageId": f"{number}-{event}",
                "timestamp": at.isoformat(),
                "properties": {"cart_id": f"cart-{number}", **properties},
            }
        )

    for number in range(customers):
        at = BEGIN + timedelta(seconds=37 * number)
        consent = {"marketing": True}
        messages.append(
            {
                "type": "identify",
                "userId": f"customer-{number}",
                "messageId": f"{number}-identify",
                "timestamp": (at - timedelta(hours=1)).isoformat(),
                "traits": {"phone": f"+86138{number:08}", "consents": consent},
            }
        )
        track(number, at, "cart.updated", total=50 + number % 100)
        if number % 7 == 0:
            track(number, at + timedelta(minutes=10), "order.paid", order_id=f"o-{number}", total=60)
        elif number % 10 == 0:
            track(number, at + timedelta(hours=5), "order.paid", order_id=f"o-{number}", total=60)
    return messages
