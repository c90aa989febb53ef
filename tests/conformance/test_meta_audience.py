"""`meta_audience` keeps to the port of audiences, against a fake of Meta's interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from channels.meta_audience import MetaAudienceAdapter
from channels.testing.audience_conformance import RemoteAudienceConformance, RemoteAudienceProvider
from channels.testing.conformance import Trouble
from channels.testing.meta_audience import FakeMetaAudience

TOKEN = "a-token-that-must-not-show"
GOOD = {"audience_id": "2385", "access_token": TOKEN}


class MetaProvider(RemoteAudienceProvider):
    def __init__(self, fake: FakeMetaAudience) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "endpoint": self.fake.url, "timeout": 0.4}

    def hashes(self) -> set[str]:
        return {value for _, value in self.fake.members}

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestMetaAudience(RemoteAudienceConformance):
    adapter = MetaAudienceAdapter
    secret = TOKEN
    wrong_settings = {  # noqa: RUF012
        "access_token": {"audience_id": "1"},
        "audience_id": {**GOOD, "audience_id": "vip"},
        "endpoint": {**GOOD, "endpoint": "graph.facebook.com"},
        "version": {**GOOD, "version": "25"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[RemoteAudienceProvider]:
        async with FakeMetaAudience("2385", TOKEN) as fake:
            yield MetaProvider(fake)
