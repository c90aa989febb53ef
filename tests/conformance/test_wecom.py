"""`wecom` keeps to the port, against a corporation that checks what the real one checks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.wecom import FakeWeCom
from channels.wecom import WeComAdapter

CORP, SECRET = "ww5823bf96d3bd56c7", "a-corp-secret-that-must-not-show"
GOOD = {"corp_id": CORP, "secret": SECRET}


class WeComProvider(Provider):
    """Group sends: the kind that goes to customers at any time, and many at once."""

    def __init__(self, fake: FakeWeCom) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "url": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        customer = f"wmqfasd1e1927831123109rBA-{n:05}"
        self.fake.befriend(customer, "zhang")
        return customer

    def bad_address(self) -> str:
        return "wm-nobody"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"json": json.dumps({"text": {"content": words}})}

    def taken(self) -> Sequence[Taken]:
        return [
            Taken(f"conformance-{int(sent.to[-5:])}", sent.document["text"]["content"])
            for sent in self.fake.sent
        ]

    def trouble(self, kind: Trouble) -> None:
        match kind:
            case "throttle":
                self.fake.say(45009)
            case "reject":
                self.fake.say(40058)
            case "fail":
                self.fake.say(-1)
            case "hang" | "drop":
                self.fake.behave(kind, times=1)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestWeCom(AdapterConformance):
    adapter = WeComAdapter
    channel = "wecom"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "secret": {"corp_id": CORP},
        "agent_id": {**GOOD, "agent_id": "the-app"},
        "callback_key": {**GOOD, "callback_token": "t", "callback_key": "not-43-letters-and-digits"},
        "callback_token": {**GOOD, "callback_token": "only-half"},
        "timeout": {**GOOD, "timeout": 16},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeWeCom(CORP, SECRET) as fake:
            yield WeComProvider(fake)
