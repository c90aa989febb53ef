"""`resend` keeps to the port, against a fake of its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.resend import ResendAdapter
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.resend import FakeResend

KEY = "re_a_key_that_must_not_show"
GOOD = {"api_key": KEY, "from": "Nanxun Tea <hello@example.com>"}


class ResendProvider(Provider):
    def __init__(self, fake: FakeResend) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "endpoint": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        return f"customer-{n}@example.net"

    def bad_address(self) -> str:
        return "nobody"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"subject": words, "text": f"{words}\n"}

    def taken(self) -> Sequence[Taken]:
        return [Taken(m.key, m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestResend(AdapterConformance):
    adapter = ResendAdapter
    channel = "email"
    secret = KEY
    wrong_settings = {  # noqa: RUF012
        "api_key": {"from": "hello@example.com"},
        "from": {**GOOD, "from": "not an address"},
        "webhook_secret": {**GOOD, "webhook_secret": "whsec_tooshort"},
        "batch": {**GOOD, "batch": 101},
        "endpoint": {**GOOD, "endpoint": "api.resend.com"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeResend(KEY, ["example.com"]) as fake:
            yield ResendProvider(fake)
