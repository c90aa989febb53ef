"""`aliyun_sms` keeps to the port, against a fake that verifies as Alibaba Cloud does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.aliyun_sms import AliyunSmsAdapter
from channels.testing.aliyun_sms import FakeAliyunSms
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble

SECRET = "an-aliyun-secret-that-must-not-show"
GOOD = {
    "access_key_id": "LTAI5tExample",
    "access_key_secret": SECRET,
    "sign_name": "南寻茶馆",
    "templates": {"SMS_1": "{words}。拒收请回复R"},
}


class AliyunSmsProvider(Provider):
    def __init__(self, fake: FakeAliyunSms) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "endpoint": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        return f"+861380000{n:04}"

    def bad_address(self) -> str:
        return "+8612345"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"text": f"{words}。拒收请回复R"}

    def taken(self) -> Sequence[Taken]:
        return [Taken(m.key, m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestAliyunSms(AdapterConformance):
    adapter = AliyunSmsAdapter
    channel = "sms"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "access_key_secret": {key: GOOD[key] for key in GOOD if key != "access_key_secret"},
        "sign_name": {**GOOD, "sign_name": ""},
        "templates": {**GOOD, "templates": {"SMS_1": "{a}{b}"}},
        "endpoint": {**GOOD, "endpoint": "dysmsapi.aliyuncs.com"},
        "timeout": {**GOOD, "timeout": 0},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        templates = {"SMS_1": "${words}。拒收请回复R"}
        async with FakeAliyunSms("LTAI5tExample", SECRET, "南寻茶馆", templates) as fake:
            yield AliyunSmsProvider(fake)
