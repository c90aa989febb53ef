"""A whole Kairos with its API, and a journey whose messages hold links.

Each test has a customer of its own: ids of enrolments follow from who entered, and Temporal is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.integration.harness import Kairos, kairos
from workers.api import run_api

BASE = "https://go.example.com"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.42"
)
FILES = {
    "kairos.yaml": f"""
brand: {{name: Nanxun Tea}}
consent: {{purposes: [newsletter, offers]}}
links:
  base_url: {BASE}
  utm: {{source: kairos, campaign: "{{journey}}", content: "{{link}}"}}
  track_opens: true
""",
    "journeys/catalog.yaml": "events: {cart.updated: {properties: {cart_id: text}}}\ntags: [keen, cold]\n",
    "journeys/cart.yaml": """
journey: cart
trigger: {event: cart.updated}
steps:
  - id: hi
    message: {template: cart, channels: [email, sms]}
  - id: look
    wait:
      for_event: message.clicked
      where: event.link == "offer"
      up_to: 1d
      then: [{id: keen, update: {add_tags: [keen]}}]
      otherwise: [{id: cold, update: {add_tags: [cold]}}]
""",
    "templates/cart/sms.text.j2": "看看 "
    "{{ links.to('https://shop.example/cart?id=' ~ trigger.cart_id, name='offer') }}。",
    "templates/cart/email.subject.j2": "Your cart",
    "templates/cart/email.text.j2": "https://shop.example/terms\n\nUnsubscribe: {{ links.unsubscribe }}",
    "templates/cart/email.html.j2": """<html><body>
<p><a data-link="offer" href="https://shop.example/cart?id={{ trigger.cart_id }}&amp;x=1">Cart</a></p>
<a href="https://shop.example/terms">Terms</a> <a href="https://shop.example/help">Help</a>
<a href="{{ links.unsubscribe }}">Unsubscribe</a>
<a href="{{ links.preferences }}">Choose</a></body></html>""",
}


def identify(user: str, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "traits": traits, "messageId": f"id-{user}"}


def track(user: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "userId": user,
        "event": "cart.updated",
        "properties": properties,
        "messageId": f"cart-{user}",
    }


@contextlib.asynccontextmanager
async def visiting(running: Kairos) -> AsyncIterator[httpx.AsyncClient]:
    """A person with a phone, who stands before the API."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_api(running.database, port=0, stop=stop, ready=ready.set_result))
    try:
        address = await asyncio.wait_for(ready, 20)
        async with httpx.AsyncClient(base_url=address, headers={"user-agent": PHONE}, timeout=20) as client:
            yield client
    finally:
        stop.set()
        await asyncio.wait_for(serving, 20)


def paths(text: str) -> list[str]:
    """Paths of all addresses of ours in a text, in order."""
    return re.findall(re.escape(BASE) + r"(/[^\s\"<。]+)", text)


async def sent(running: Kairos, count: int = 1, seconds: float = 20) -> list[dict[str, str]]:
    """Parts of the messages that went out, once there are so many; oldest first."""
    for _ in range(int(seconds / 0.05)):
        kept = await running.outbox()
        if len(kept) >= count:
            return [message.parts for message in reversed(kept)]
        await asyncio.sleep(0.05)
    standing = [(e.journey, e.status, e.step, e.exit_detail) for e in await running.enrolments()]
    raise AssertionError(f"waited {seconds} s for {count} messages; enrolments are {standing}")


@contextlib.asynccontextmanager
async def written_to(
    database_url: str, temporal_address: str, user: str, **traits: Any
) -> AsyncIterator[tuple[Kairos, httpx.AsyncClient, dict[str, str]]]:
    """Kairos, a person before its pages, and the parts of the message about their cart that they have got."""
    async with (
        kairos(database_url, temporal_address, files=FILES) as running,
        visiting(running) as person,
    ):
        await running.send(identify(user, **traits), track(user, cart_id="k1"))
        [parts] = await sent(running)
        yield running, person, parts
