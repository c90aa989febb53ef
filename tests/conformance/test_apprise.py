"""`apprise` keeps to the port, against a service that the library reaches by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.apprise import AppriseAdapter
from channels.testing.apprise import FakeAppriseService
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble

PASSWORD = "a-password-that-must-not-show"


class AppriseProvider(Provider):
    def __init__(self, fake: FakeAppriseService) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        url = f"json://kairos:{PASSWORD}@127.0.0.1:{self.fake.port}/{{address}}"
        return {"url": url, "timeout": 0.4}

    def address(self, n: int) -> str:
        return f"customer-{n}"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"title": "Nanxun Tea", "body": words}

    def taken(self) -> Sequence[Taken]:
        # Services are not told our key.
        return [Taken(m.address.replace("customer", "conformance"), m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestApprise(AdapterConformance):
    adapter = AppriseAdapter
    channel = "telegram"
    secret = PASSWORD
    wrong_settings = {  # noqa: RUF012
        "url": {"url": "nosuchservice://token/{address}"},
        "timeout": {"url": "json://localhost/", "timeout": 0},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeAppriseService() as fake:
            yield AppriseProvider(fake)
