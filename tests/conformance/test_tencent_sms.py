"""`tencent_sms` keeps to the port, against a fake that verifies as Tencent Cloud does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.tencent_sms import TencentSmsAdapter
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.tencent_sms import FakeTencentSms

SECRET = "a-tencent-secret-that-must-not-show"
GOOD = {
    "secret_id": "AKIDexample",
    "secret_key": SECRET,
    "sdk_app_id": "1400006666",
    "sign_name": "南寻茶馆",
    "templates": {"449739": "{1}。拒收请回复R"},
}


class TencentSmsProvider(Provider):
    def __init__(self, fake: FakeTencentSms) -> None:
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
        # Only a message alone carries its key; of several in a call the number tells which it was.
        return [Taken(f"conformance-{int(m.address[-4:])}", m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestTencentSms(AdapterConformance):
    adapter = TencentSmsAdapter
    channel = "sms"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "secret_key": {key: GOOD[key] for key in GOOD if key != "secret_key"},
        "templates": {**GOOD, "templates": {"449739": "{name}。"}},
        "endpoint": {**GOOD, "endpoint": "sms.tencentcloudapi.com"},
        "batch": {**GOOD, "batch": 201},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        templates = {"449739": "{1}。拒收请回复R"}
        async with FakeTencentSms("AKIDexample", SECRET, "1400006666", "南寻茶馆", templates) as fake:
            yield TencentSmsProvider(fake)
