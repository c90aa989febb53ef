"""Who is who over HTTP: profiles with their timeline, the review list, merges, export and erasure."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.api.conftest import MANAGE_KEY, READ_KEY
from tests.integration.api.shop import Shop, make_shop

PHONE = "+8613800138000"


@pytest.fixture
async def shop(database: AsyncEngine) -> Shop:
    return await make_shop(database)


@pytest.fixture
async def operator(address: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {MANAGE_KEY}"}
    async with httpx.AsyncClient(base_url=address + "/api/v1", headers=headers, timeout=60) as client:
        yield client


async def test_a_profile_shows_what_happened_in_pages_and_who_said_what(
    shop: Shop, operator: httpx.AsyncClient
) -> None:
    got = (await operator.get(f"/profiles/{shop.profile_id}", params={"limit": "2"})).json()
    assert got["provenance"]["first_name"]["external_id:c-17"][1:] == ["test", None]
    seen, mark = list(got["timeline"]), got["timeline_next"]
    while mark is not None:
        path = f"/profiles/{shop.profile_id}/timeline"
        page = (await operator.get(path, params={"limit": "2", "next": mark})).json()
        seen += page["items"]
        mark = page["next"]
    assert sorted(each["what"] for each in seen) == sorted(
        ["event"] * 3 + ["message"] * 2 + ["entered"] * 2 + ["exited"]
    )
    assert [each["at"] for each in seen] == sorted((each["at"] for each in seen), reverse=True)
    assert (await operator.get(f"/profiles/{shop.event_id}/timeline")).status_code == 404


async def test_any_spelling_of_any_identifier_finds_a_profile(
    shop: Shop, operator: httpx.AsyncClient
) -> None:
    for kind, value in (("email", "ADA@Example.com"), ("any", "Ada@example.com"), ("any", "c-17")):
        found = (await operator.get("/profiles", params={"kind": kind, "value": value})).json()
        assert [each["id"] for each in found["items"]] == [shop.profile_id], kind


async def test_findings_are_decided_and_merges_undone(
    http: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    for user in ("c-1", "c-2"):
        await http.post("/v1/identify", json={"userId": user, "traits": {"phone": PHONE}})
    [finding] = (await operator.get("/reviews")).json()["items"]
    assert (finding["one"]["value"], finding["two"]["value"], finding["via"]["value"]) == (
        "c-1",
        "c-2",
        PHONE,
    )
    path = f"/reviews/{finding['id']}/decide"
    assert (await operator.post(path, json={"decision": "maybe"})).status_code == 422
    decided = (await operator.post(path, json={"decision": "same", "decided_by": "ida"})).json()
    assert (decided["decision"], len(decided["merges"])) == ("same", 1)
    assert (await operator.get("/reviews")).json()["items"] == []
    [done] = (await operator.get("/reviews", params={"decided": "true"})).json()["items"]
    assert done["decided_by"] == "ida"
    [merge] = (await operator.get("/merges")).json()["items"]
    undone = (await operator.post(f"/merges/{merge['id']}/undo")).json()
    assert undone["undone_at"] is not None
    assert (await operator.post(f"/merges/{merge['id']}/undo")).status_code == 409
    assert (await operator.post("/merges/99/undo")).status_code == 404
    ids = {
        (await operator.get("/profiles", params={"value": user})).json()["items"][0]["id"]
        for user in ("c-1", "c-2")
    }
    assert len(ids) == 2


async def test_a_person_is_exported_and_erased_by_who_may_manage(
    shop: Shop, address: str, operator: httpx.AsyncClient
) -> None:
    path = f"/profiles/{shop.profile_id}"
    async with httpx.AsyncClient(base_url=address + "/api/v1", auth=(READ_KEY, "")) as reader:
        assert (await reader.get(f"{path}/export")).status_code == 403
        assert (await reader.delete(path)).status_code == 403
    exported = (await operator.get(f"{path}/export")).json()
    assert exported["profile"][0]["addresses"] == {"email": "ada@example.com"}
    assert len(exported["enrolments"]) == 2
    erased = (await operator.delete(path)).json()
    assert (erased["ended"], erased["suppressed"], erased["touched"]["enrolments"]) == (1, 1, 2)
    assert (await operator.get(path)).status_code == 404
    assert (await operator.delete(path)).status_code == 404
    kept = (await operator.get(f"/enrolments/{shop.live}")).json()
    assert (kept["status"], kept["exit"], kept["trigger"]) == ("ended", "unsubscribed", {})


async def test_problems_are_counted(http: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    await http.post("/v1/identify", json={"userId": "c-1", "traits": {"phone": "12345"}})
    [problem] = (await operator.get("/identity-problems")).json()["items"]
    assert (problem["kind"], problem["source"], problem["seen"]) == ("phone", "shop", 1)
