"""`wechat_miniprogram` keeps to the port, against a mini-program that checks what the real one checks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.wechat_miniprogram import FakeMiniProgram
from channels.wechat_miniprogram import WeChatMiniProgramAdapter

APP, SECRET = "wx9d3a1b2c4e5f6071", "an-app-secret-that-must-not-show"
GOOD = {"app_id": APP, "secret": SECRET}


class MiniProgramProvider(Provider):
    def __init__(self, fake: FakeMiniProgram) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "url": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        person = f"o6zAJs3oh85Zb1lJE8oWix-{n:05}"
        self.fake.people.add(person)
        self.fake.agreements[person, "T1"] = 10
        return person

    def bad_address(self) -> str:
        return "oNobody"

    def parts(self, words: str) -> Mapping[str, str]:
        # A field without a rule of its own takes any words.
        return {"json": json.dumps({"template_id": "T1", "data": {"words1": {"value": words}}})}

    def taken(self) -> Sequence[Taken]:
        return [
            Taken(f"conformance-{int(sent.to[-5:])}", sent.document["data"]["words1"]["value"])
            for sent in self.fake.sent
        ]

    def trouble(self, kind: Trouble) -> None:
        match kind:
            case "throttle":
                self.fake.say(45011)
            case "reject":
                self.fake.say(43101)
            case "fail":
                self.fake.say(-1)
            case "hang" | "drop":
                self.fake.behave(kind, times=1)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestWeChatMiniProgram(AdapterConformance):
    adapter = WeChatMiniProgramAdapter
    channel = "miniprogram"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "secret": {"app_id": APP},
        "state": {**GOOD, "state": "beta"},
        "lang": {**GOOD, "lang": "fr"},
        "callback_key": {**GOOD, "callback_key": "not-43-letters-and-digits"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeMiniProgram(APP, SECRET, templates={"T1": ("words1",)}) as fake:
            yield MiniProgramProvider(fake)
