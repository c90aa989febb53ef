"""`wechat` keeps to the port, against a service account that checks what the real one checks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.wechat import FakeWeChat
from channels.wechat import WeChatAdapter

APP, SECRET = "wx2c2769f8efd9abc2", "an-app-secret-that-must-not-show"
GOOD = {"app_id": APP, "secret": SECRET}


class WeChatProvider(Provider):
    def __init__(self, fake: FakeWeChat) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "url": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        open_id = f"oIqRW6xCq9kqGpDJf8cBvZ-{n:05}"
        if open_id not in self.fake.followers:
            self.fake.interact(open_id, "follow")
            self.fake.interact(open_id, "message")
        return open_id

    def bad_address(self) -> str:
        return "oNobody"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"json": json.dumps({"msgtype": "text", "text": {"content": words}})}

    def taken(self) -> Sequence[Taken]:
        return [
            Taken(f"conformance-{int(sent.to[-5:])}", sent.document["text"]["content"])
            for sent in self.fake.sent
        ]

    def trouble(self, kind: Trouble) -> None:
        match kind:
            case "throttle":
                self.fake.say(45011)
            case "reject":
                self.fake.say(45015)
            case "fail":
                self.fake.say(-1)
            case "hang" | "drop":
                self.fake.behave(kind, times=1)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestWeChat(AdapterConformance):
    adapter = WeChatAdapter
    channel = "wechat"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "secret": {"app_id": APP},
        "url": {**GOOD, "url": "api.weixin.qq.com"},
        "callback_key": {**GOOD, "callback_key": "not-43-letters-and-digits"},
        "timeout": {**GOOD, "timeout": 0},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeWeChat(APP, SECRET) as fake:
            yield WeChatProvider(fake)
