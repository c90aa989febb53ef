"""The ledger of consents over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.api.conftest import MANAGE_KEY, READ_KEY
from tests.integration.api.shop import Shop, make_shop


@pytest.fixture
async def shop(database: AsyncEngine) -> Shop:
    return await make_shop(database)


@pytest.fixture
async def operator(address: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {MANAGE_KEY}"}
    async with httpx.AsyncClient(base_url=address + "/api/v1", headers=headers, timeout=60) as client:
        yield client


async def test_a_consent_is_recorded_and_listed(shop: Shop, operator: httpx.AsyncClient) -> None:
    path = f"/profiles/{shop.profile_id}/consents"
    before = (await operator.get(path)).json()["items"]
    body = {"channel": "sms", "granted": False, "source": "call centre", "text_version": "2026-11"}
    made = await operator.post(path, json=body)
    assert made.status_code == 201
    assert body.items() <= made.json().items()
    assert (made.json()["purpose"], made.json()["category"]) == ("*", "marketing")
    after = (await operator.get(path)).json()["items"]
    assert len(after) == len(before) + 1
    assert made.json() in after
    timeline = (await operator.get(f"/profiles/{shop.profile_id}/timeline")).json()["items"]
    assert "consent" in {each["what"] for each in timeline}


async def test_what_cannot_be_recorded_is_refused(shop: Shop, operator: httpx.AsyncClient) -> None:
    path = f"/profiles/{shop.profile_id}/consents"
    for body in (
        {"channel": "sms"},
        {"channel": "sms", "granted": True, "purpose": "offers"},
        {"channel": "sms", "granted": True, "at": "2999-01-01T00:00:00Z"},
        {"channel": "sms", "granted": True, "at": "2026-01-01T00:00:00"},
        {"channel": "sms", "granted": True, "why": "because"},
    ):
        assert (await operator.post(path, json=body)).status_code == 422, body
    nobody = f"/profiles/{shop.event_id}/consents"
    assert (await operator.post(nobody, json={"channel": "sms", "granted": True})).status_code == 404
    assert (await operator.get(nobody)).status_code == 404


async def test_reading_keys_record_nothing(shop: Shop, address: str) -> None:
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    async with httpx.AsyncClient(base_url=address + "/api/v1", headers=headers, timeout=60) as client:
        path = f"/profiles/{shop.profile_id}/consents"
        assert (await client.post(path, json={"channel": "sms", "granted": True})).status_code == 403
        assert (await client.get(path)).status_code == 200
