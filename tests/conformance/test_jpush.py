"""`jpush` keeps to the port, against a fake of its REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.jpush import JpushAdapter
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.jpush import MARK, FakeJpush

SECRET = "a-master-secret-that-must-not-show"
GOOD = {"app_key": "7d431e42dfa6a6d693ac2d04", "master_secret": SECRET}


class JpushProvider(Provider):
    def __init__(self, fake: FakeJpush) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "endpoint": self.fake.url, "timeout": 0.4}

    def address(self, n: int) -> str:
        return f"{MARK}{n:09}"

    def bad_address(self) -> str:
        return "no-device"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"title": "Nanxun Tea", "body": words}

    def taken(self) -> Sequence[Taken]:
        return [Taken(m.key, m.text) for m in self.fake.messages]

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestJpush(AdapterConformance):
    adapter = JpushAdapter
    channel = "push"
    secret = SECRET
    wrong_settings = {  # noqa: RUF012
        "master_secret": {"app_key": "k"},
        "platform": {**GOOD, "platform": "winphone"},
        "endpoint": {**GOOD, "endpoint": "api.jpush.cn"},
        "batch": {**GOOD, "batch": 1001},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeJpush(GOOD["app_key"], SECRET) as fake:
            yield JpushProvider(fake)
