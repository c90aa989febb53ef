"""`alipay` keeps to the port, against a gateway that verifies and signs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.alipay import AlipayAdapter
from channels.testing.alipay import FakeAlipay, KeyPair
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble

APP, OURS = "2014072300007148", KeyPair()
GOOD = {"app_id": APP, "private_key": OURS.private, "alipay_public_key": OURS.public}


class AlipayProvider(Provider):
    def __init__(self, fake: FakeAlipay) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "alipay_public_key": self.fake.public_key, "url": self.fake.url, "timeout": 0.5}

    def address(self, n: int) -> str:
        person = f"2088{n:012}"
        self.fake.people.add(person)
        return person

    def bad_address(self) -> str:
        return "nobody"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"json": json.dumps({"msg_type": "text", "text": {"content": words}})}

    def taken(self) -> Sequence[Taken]:
        return [
            Taken(f"conformance-{int(sent.to[4:])}", sent.content["text"]["content"])
            for sent in self.fake.sent
        ]

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


class TestAlipay(AdapterConformance):
    adapter = AlipayAdapter
    channel = "alipay"
    secret = OURS.private
    wrong_settings = {  # noqa: RUF012
        "app_id": {**GOOD, "app_id": ""},
        "private_key": {**GOOD, "private_key": OURS.public},
        "alipay_public_key": {**GOOD, "alipay_public_key": "not a key at all"},
        "sub_codes.NO_SUCH_PERSON": {**GOOD, "sub_codes": {"NO_SUCH_PERSON": "nobody"}},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeAlipay(APP, OURS.public) as fake:
            yield AlipayProvider(fake)
