"""`tencent_ads` keeps to the port of audiences, against a fake of Tencent's interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from channels.tencent_ads import TencentAdsAdapter
from channels.testing.audience_conformance import RemoteAudienceConformance, RemoteAudienceProvider
from channels.testing.conformance import Trouble
from channels.testing.tencent_ads import FakeTencentAds

TOKEN = "a-token-that-must-not-show"
GOOD = {"account_id": 100001, "audience_id": 200002, "access_token": TOKEN}


class TencentProvider(RemoteAudienceProvider):
    def __init__(self, fake: FakeTencentAds) -> None:
        self.fake = fake

    def settings(self) -> Mapping[str, Any]:
        return {**GOOD, "endpoint": self.fake.url, "timeout": 0.4}

    def hashes(self) -> set[str]:
        return set(self.fake.members)

    def trouble(self, kind: Trouble) -> None:
        self.fake.trouble(kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestTencentAds(RemoteAudienceConformance):
    adapter = TencentAdsAdapter
    secret = TOKEN
    wrong_settings = {  # noqa: RUF012
        "access_token": {"account_id": 1, "audience_id": 2},
        "audience_id": {**GOOD, "audience_id": "vip"},
        "user_id_type": {**GOOD, "user_id_type": "QQ"},
        "endpoint": {**GOOD, "endpoint": "api.e.qq.com"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[RemoteAudienceProvider]:
        async with FakeTencentAds(100001, 200002, TOKEN) as fake:
            yield TencentProvider(fake)
