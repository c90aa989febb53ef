"""`webhook` keeps to the port, against a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.sink import FakeHttpSink
from channels.webhook import WebhookAdapter

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class WebhookProvider(Provider):
    def __init__(self, fake: FakeHttpSink) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {"secret": SECRET, "timeout": 0.4, "allow_private": True}

    def address(self, n: int) -> str:
        return f"{self.fake.url}/customer-{n}"

    def bad_address(self) -> str:
        return "nowhere"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"json": json.dumps({"text": words})}

    def taken(self) -> Sequence[Taken]:
        first = {c.id: c for c in reversed(self.fake.calls) if c.taken}
        return [Taken(id, json.loads(call.body)["text"]) for id, call in first.items()]

    def trouble(self, kind: Trouble) -> None:
        match kind:
            case "throttle":
                self.fake.behave("throttle", times=1, retry_after="2")
            case "reject":
                self.fake.behave("fail", times=1, status=422)
            case "hang" | "drop" | "fail":
                self.fake.behave(kind, times=1)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestWebhook(AdapterConformance):
    adapter = WebhookAdapter
    channel = "webhook"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "secret": {"secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        "previous_secret": {"secret": SECRET, "previous_secret": "whsec_tooshort"},
        "url": {"secret": SECRET, "url": "ftp://example.com/hook"},
        "timeout": {"secret": SECRET, "timeout": 0},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeHttpSink() as fake:
            yield WebhookProvider(fake)


class BatchProvider(WebhookProvider):
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings(), "batch": 7}

    def address(self, n: int) -> str:
        return f"{self.fake.url}/customer-{n % 3}"

    def taken(self) -> Sequence[Taken]:
        items = [item for call in self.fake.calls if call.taken for item in json.loads(call.body)]
        first = {item["key"]: item for item in reversed(items)}
        return [Taken(key, item["data"]["text"]) for key, item in first.items()]


class TestWebhookInBatches(AdapterConformance):
    adapter = WebhookAdapter
    channel = "webhook"
    secret = SECRET
    wrong_settings = {"batch": {"secret": SECRET, "batch": 1001}}  # noqa: RUF012

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeHttpSink() as fake:
            yield BatchProvider(fake)
