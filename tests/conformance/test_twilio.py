"""`twilio` keeps to the port, against a fake of the Messages API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.twilio import FakeTwilio
from channels.twilio import TwilioAdapter

SID = "AC" + "0" * 32
TOKEN = "a-twilio-token-that-must-not-show"
GOOD = {
    "account_sid": SID,
    "auth_token": TOKEN,
    "from": "+15005550006",
    "callback_url": "https://kairos.example.com/callbacks/twilio/s3cret",
}


class TwilioProvider(Provider):
    def __init__(self, fake: FakeTwilio) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "endpoint": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        return f"+1415867{n:04}"

    def bad_address(self) -> str:
        return "+1415867"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"text": words}

    def taken(self) -> Sequence[Taken]:
        return [Taken(m.key, m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestTwilio(AdapterConformance):
    adapter = TwilioAdapter
    channel = "sms"
    secret = TOKEN
    wrong_settings = {  # noqa: RUF012
        "account_sid": {**GOOD, "account_sid": "SK123"},
        "callback_url": {**GOOD, "callback_url": "https://kairos.example.com/?key=1"},
        "endpoint": {**GOOD, "endpoint": "api.twilio.com"},
        "": {**GOOD, "messaging_service": "MG1"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeTwilio(SID, TOKEN, ["+15005550006"]) as fake:
            yield TwilioProvider(fake)
