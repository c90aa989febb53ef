"""Segments over the management API."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.applying import apply_project
from engine.ingest.crowds import Crowds
from engine.language.project import check_project
from tests.integration.api.shop import FILES, Shop, make_shop
from tests.integration.api.test_management import operator, reader

__all__ = ["operator", "reader"]

SEGMENTS = """
tags: [vip]
segments:
  carts: count("cart.updated") > 0
  named: in_segment("carts") and exists(profile.first_name)
  testers: {list: true}
"""


@pytest.fixture
async def shop(database: AsyncEngine) -> Shop:
    made = await make_shop(database)
    files = FILES | {"journeys/catalog.yaml": FILES["journeys/catalog.yaml"] + SEGMENTS}
    project = check_project(files)
    assert not project.errors
    await apply_project(database, project, files)
    return made


async def test_segments_are_listed_counted_and_explained(shop: Shop, reader: httpx.AsyncClient) -> None:
    listed = (await reader.get("/segments")).json()
    assert [(each["name"], each["list"]) for each in listed["items"]] == [
        ("carts", False),
        ("named", False),
        ("testers", True),
    ]
    assert (await reader.get("/segments/named")).json() == listed["items"][1]
    assert (await reader.get("/segments/named/count")).json()["count"] == 1
    explained = (await reader.get("/segments/named/explain")).json()
    assert [(part["part"], part["together"]) for part in explained["parts"]] == [
        ('in_segment("carts")', 1),
        ("exists(profile.first_name)", 1),
    ]
    page = (await reader.get("/segments/named/profiles", params={"limit": 1})).json()
    assert [each["id"] for each in page["items"]] == [shop.profile_id]
    assert page["next"] is None
    for path in ("", "/count", "/explain", "/profiles"):
        answer = await reader.get(f"/segments/nmaed{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "no-such-segment")


async def test_a_list_is_changed(shop: Shop, operator: httpx.AsyncClient, reader: httpx.AsyncClient) -> None:
    given = {
        "identities": [{"kind": "external_id", "value": "c-17"}, {"kind": "email", "value": "x@example.com"}],
        "profile_ids": [shop.profile_id],
    }
    changed = (await operator.post("/segments/testers/members", json=given)).json()
    assert changed == {"added": 1, "removed": 0, "members": 1, "not_one": [1]}
    assert (await reader.get("/segments/testers/count")).json()["count"] == 1
    taken = await operator.post("/segments/testers/members", json={"change": "remove", **given})
    assert taken.json()["removed"] == 1
    refused = await operator.post("/segments/carts/members", json=given)
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert (await operator.post("/segments/nothing/members", json=given)).status_code == 404
    assert (await operator.post("/segments/testers/members", json={"change": "swap"})).status_code == 422
    assert (await reader.post("/segments/testers/members", json=given)).status_code == 403


async def test_a_crowd_by_segment_or_condition(shop: Shop, operator: httpx.AsyncClient) -> None:
    asked = (await operator.post("/crowds", json={"journey": "by-hand", "segment": "named"})).json()
    assert (asked["what"], asked["segment"]) == ("segment", "named")
    assert asked["where"] == 'in_segment("carts") and exists(profile.first_name)'
    crowd = await Crowds(shop.database).advance(asked["id"])
    while crowd is not None and not crowd.over:
        crowd = await Crowds(shop.database).advance(asked["id"])
    assert (await operator.get(f"/crowds/{asked['id']}")).json()["entered"] == 1

    async def code(**body: object) -> tuple[int, str]:
        answer = await operator.post("/crowds", json={"journey": "by-hand", **body})
        return answer.status_code, answer.json()["code"]

    assert await code(segment="nothing") == (404, "no-such-segment")
    assert await code(where="has_tag(") == (422, "invalid")
    assert await code(where="true", all=True) == (422, "invalid")
