"""What the people of the demo do: they leave carts, and they answer what arrives."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from examples.cart.people import Person
from examples.cart.providers import Arrived, Providers, links_in, ways_out

BROWSER: Final = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
SCANNER: Final = "Mozilla/5.0 (compatible; GoogleImageProxy; SafeLinks scanner bot)"
ONE_CLICK: Final = "List-Unsubscribe=One-Click"
LOOK: Final = 0.2


@dataclass(slots=True)
class World:
    """`did` counts deeds by name; the ledger holds Kairos's record against it."""

    providers: Providers
    people: list[Person]
    shop: httpx.AsyncClient
    """With the write key."""
    web: httpx.AsyncClient
    """What browsers and mailboxes use: no key, no redirects followed."""
    did: Counter[str] = field(default_factory=Counter)
    stopped: dict[str, int] = field(default_factory=dict)
    """How many messages somebody had when they wanted no more, by address."""
    failures: list[str] = field(default_factory=list)
    _answered: set[str] = field(default_factory=set)
    _had: Counter[str] = field(default_factory=Counter)

    async def begin(self) -> None:
        """Everybody is made known, followers follow, and each leaves a cart."""
        for person in self.people:
            if person.channel == "wechat":
                await self.providers.followed(self.web, person.address)
                self.did["followed"] += 1
        await self._shop("identify", [{"userId": p.user_id, "traits": p.traits} for p in self.people])
        await self._track("cart.updated", self.people)
        await asyncio.sleep(1)
        await self._track("order.paid", [p for p in self.people if p.deed == "pays at once"])

    async def watch(self, over: Callable[[], bool]) -> None:
        """Answers whatever arrives, until `over` says so."""
        by_address = {person.address: person for person in self.people}
        async with asyncio.TaskGroup() as answers:
            while not over():
                for message in self.providers.arrived():
                    if message.id not in self._answered:
                        self._answered.add(message.id)
                        self._had[message.address] += 1
                        person = by_address[message.address]
                        answers.create_task(self._answer(person, message, self._had[message.address]))
                await asyncio.sleep(LOOK)

    async def _answer(self, person: Person, message: Arrived, number: int) -> None:
        if message.channel == "sms":
            dead = person.deed == "has a dead number"
            await self.providers.reported(self.web, message, "MOBILE_NOT_ON_SERVICE" if dead else "DELIVERED")
            self.did["bounced" if dead else "delivered"] += 1
        if number > 1:
            return
        match person.deed:
            case "is scanned":
                for link in links_in(message.text):
                    await self._get(link, SCANNER)
                    self.did["scanned"] += 1
            case "clicks" | "buys":
                await asyncio.sleep(3)
                for link in links_in(message.text)[:1]:
                    await self._get(link, BROWSER)
                    self.did["clicked"] += 1
                if person.deed == "buys":
                    await self._track("order.paid", [person])
                    self.did["bought"] += 1
            case "stops":
                await asyncio.sleep(1)
                await self._stop(person, message)
                self.did["stopped"] += 1

    async def _stop(self, person: Person, message: Arrived) -> None:
        if message.channel == "sms":
            await self.providers.replied(self.web, message, "ＴＤ")
        else:
            [way_out] = ways_out(message.text)
            form = {"content-type": "application/x-www-form-urlencoded"}
            shown = await self.web.get(way_out)
            answer = await self.web.post(way_out, content=ONE_CLICK, headers=form)
            if (shown.status_code, answer.status_code) != (200, 200):
                self.failures.append(
                    f"the way out was answered with {shown.status_code} and {answer.status_code}"
                )
        self.stopped[person.address] = self._had[person.address]

    async def _get(self, link: str, browser: str) -> None:
        answer = await self.web.get(link, headers={"user-agent": browser, "accept": "text/html"})
        target = answer.headers.get("location", "")
        if answer.status_code != 302 or not target.startswith("https://tea.example/cart/"):
            self.failures.append(f"a link was answered with {answer.status_code} {target}")

    async def _track(self, event: str, people: list[Person]) -> None:
        await self._shop(
            "track",
            [
                {
                    "userId": p.user_id,
                    "event": event,
                    "properties": {**p.cart, **({"order_id": p.user_id} if event == "order.paid" else {})},
                }
                for p in people
            ],
        )

    async def _shop(self, kind: str, messages: list[dict[str, Any]]) -> None:
        now = datetime.now(UTC).isoformat()
        more = {"type": kind, "timestamp": now}
        batch = [{**m, **more, "messageId": secrets.token_hex(8)} for m in messages]
        answer = await self.shop.post("/v1/batch", json={"batch": batch})
        answer.raise_for_status()
