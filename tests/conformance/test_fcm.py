"""`fcm` keeps to the port, against a fake of HTTP v1 and of Google's token endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.fcm import FcmAdapter
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.fcm import FakeFcm


class FcmProvider(Provider):
    def __init__(self, fake: FakeFcm) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {"service_account": self.fake.account(), "endpoint": self.fake.url, "timeout": 0.5}

    def address(self, n: int) -> str:
        return f"device-{n}"

    def bad_address(self) -> str:
        return "no device"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"title": "Nanxun Tea", "body": words}

    def taken(self) -> Sequence[Taken]:
        return [Taken(m.key, m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestFcm(AdapterConformance):
    adapter = FcmAdapter
    channel = "push"
    secret = "PRIVATE KEY"
    wrong_settings = {  # noqa: RUF012
        "service_account": {"service_account": '{"project_id": "p"}'},
        "service_account_file": {"service_account_file": "/no/such/file.json"},
        "ttl": {"ttl": -1},
        "": {},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeFcm() as fake:
            yield FcmProvider(fake)
