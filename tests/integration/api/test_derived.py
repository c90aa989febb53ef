"""Segments, stage and tags of a profile over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.ingest.recomputing import follow, recompute
from engine.store import project
from tests.integration.api.conftest import MANAGE_KEY

CATALOGUE = """
events: {order.paid: {}}
tags: [vip, {name: buyer, where: count("order.paid") > 0}]
segments: {friends: {where: has_tag("vip"), history: true}}
stages: [{name: aware}, {name: first, where: count("order.paid") > 0}]
"""


@pytest.fixture
async def operator(address: str, database: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with database.begin() as connection:
        await project.save(
            connection, catalogue=CATALOGUE, installation="", templates={}, files={}, digest="d", changes={}
        )
    await follow(database)
    headers = {"Authorization": f"Bearer {MANAGE_KEY}"}
    async with httpx.AsyncClient(base_url=address + "/api/v1", headers=headers, timeout=60) as client:
        yield client


async def test_a_profile_shows_segments_stage_and_where_its_tags_come_from(
    operator: httpx.AsyncClient, http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    await http.post("/v1/track", json={"userId": "c-1", "event": "order.paid"})
    [found] = (await operator.get("/profiles", params={"value": "c-1"})).json()["items"]
    path = f"/profiles/{found['id']}"
    done = await operator.post(path + "/tags", json={"add": ["vip"], "expires": "30d", "by": "ada"})
    assert (done.status_code, done.json()["tags"]) == (200, ["vip"])
    await recompute(database)
    got = (await operator.get(path)).json()
    assert (got["stage"], got["stage_since"] is None, list(got["segments"])) == ("first", False, ["friends"])
    assert [(grant["tag"], grant["source"]) for grant in got["grants"]] == [("buyer", "rule"), ("vip", "ada")]
    assert {"segment", "stage"} <= {moment["what"] for moment in got["timeline"]}
    history = (await operator.get("/segments/friends/history")).json()["items"]
    assert [(each["external_id"], each["entered"]) for each in history] == [("c-1", True)]
    assert (await operator.post(path + "/tags", json={"remove": ["vip"]})).json()["tags"] == ["buyer"]


async def test_tags_that_nobody_may_give_are_refused(
    operator: httpx.AsyncClient, http: httpx.AsyncClient
) -> None:
    await http.post("/v1/identify", json={"userId": "c-1", "traits": {"tags": ["buyer", "vip"]}})
    [found] = (await operator.get("/profiles", params={"value": "c-1"})).json()["items"]
    assert found["tags"] == ["vip"]
    path = f"/profiles/{found['id']}/tags"
    assert (await operator.post(path, json={"add": ["buyer"]})).status_code == 409
    assert (await operator.post(path, json={"add": ["unknown"]})).status_code == 409
    assert (await operator.post(path, json={"add": ["vip"], "expires": "soon"})).status_code == 422
    assert (
        await operator.post("/profiles/" + "0" * 8 + "-0000-0000-0000-" + "0" * 12 + "/tags", json={})
    ).status_code == 404
