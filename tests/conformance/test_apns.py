"""`apns` keeps to the port, against a fake that speaks HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.apns import ApnsAdapter
from channels.testing.apns import FakeApns
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble

GOOD = {"team_id": FakeApns.team_id, "key_id": FakeApns.key_id, "topic": FakeApns.topic}


class ApnsProvider(Provider):
    def __init__(self, fake: FakeApns) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "key": self.fake.key(), "endpoint": self.fake.url, "timeout": 0.5}

    def address(self, n: int) -> str:
        return f"{n:064x}"

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


class TestApns(AdapterConformance):
    adapter = ApnsAdapter
    channel = "push"
    secret = "PRIVATE KEY"
    wrong_settings = {  # noqa: RUF012
        "key": {**GOOD, "key": "not a key at all"},
        "key_file": {**GOOD, "key_file": "/no/such/file.p8"},
        "team_id": {**GOOD, "key_file": __file__, "team_id": "short"},
        "environment": {**GOOD, "key_file": __file__, "environment": "test"},
        "": GOOD,
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeApns() as fake:
            yield ApnsProvider(fake)
