"""`alipay_miniprogram` keeps to the port, against a gateway that verifies and signs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.alipay_miniprogram import AlipayMiniProgramAdapter
from channels.testing.alipay import FakeAlipay, KeyPair
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble

APP, OURS = "2021000000000001", KeyPair()
GOOD = {"app_id": APP, "private_key": OURS.private, "alipay_public_key": OURS.public}


class AlipayMiniProgramProvider(Provider):
    def __init__(self, fake: FakeAlipay) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "alipay_public_key": self.fake.public_key, "url": self.fake.url, "timeout": 0.5}

    def address(self, n: int) -> str:
        person = f"074a1CcTG1LelxKe4xQC0z-{n:05}"
        self.fake.people.add(person)
        return person

    def bad_address(self) -> str:
        return "nobody"

    def parts(self, words: str) -> Mapping[str, str]:
        part = {
            "user_template_id": "T1",
            "page": "pages/index",
            "data": {"keyword1": {"value": words}},
        }
        return {"json": json.dumps(part)}

    def taken(self) -> Sequence[Taken]:
        return [Taken(f"conformance-{int(sent.to[-5:])}", sent.content["data"]) for sent in self.fake.sent]

    def trouble(self, kind: Trouble) -> None:
        match kind:
            case "throttle":
                self.fake.say("40005", "isv.app-call-limited")
            case "reject":
                self.fake.say("40004", "REFUSED")
            case "fail":
                self.fake.say("20000", "isp.unknow-error")
            case "hang" | "drop":
                self.fake.behave(kind, times=1)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestAlipayMiniProgram(AdapterConformance):
    adapter = AlipayMiniProgramAdapter
    channel = "miniprogram"
    secret = OURS.private
    wrong_settings = {  # noqa: RUF012
        "private_key": {**GOOD, "private_key": "not a key at all"},
        "alipay_public_key": {"app_id": APP, "private_key": OURS.private},
        "url": {**GOOD, "url": "openapi.alipay.com"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeAlipay(APP, OURS.public, templates={"T1": ("keyword1",)}) as fake:
            yield AlipayMiniProgramProvider(fake)
