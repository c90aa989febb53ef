"""The management API on a served app and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.ingest.crowds import Crowds
from tests.integration.api.conftest import MANAGE_KEY, READ_KEY, WRITE_KEY
from tests.integration.api.shop import Shop, make_shop


@pytest.fixture
async def shop(database: AsyncEngine) -> Shop:
    return await make_shop(database)


@pytest.fixture
async def reader(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address + "/api/v1", auth=(READ_KEY, "")) as client:
        yield client


@pytest.fixture
async def operator(address: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {MANAGE_KEY}"}
    async with httpx.AsyncClient(base_url=address + "/api/v1", headers=headers) as client:
        yield client


async def test_a_profile_is_found_by_any_identifier(shop: Shop, reader: httpx.AsyncClient) -> None:
    for kind, value in (("external_id", "c-17"), ("email", "ada@example.com")):
        found = (await reader.get("/profiles", params={"kind": kind, "value": value})).json()
        assert [each["id"] for each in found["items"]] == [shop.profile_id]
    got = (await reader.get(f"/profiles/{shop.profile_id}")).json()
    assert got["attributes"] == {"first_name": "Ada"}
    assert {"kind": "external_id", "value": "c-17"} in got["identities"]
    assert (await reader.get("/profiles", params={"value": "nobody"})).json()["items"] == []


async def test_events_of_a_profile_come_in_pages(shop: Shop, reader: httpx.AsyncClient) -> None:
    seen, next_page = [], None
    while True:
        params = {"profile_id": shop.profile_id, "limit": "1"} | ({"next": next_page} if next_page else {})
        page = (await reader.get("/events", params=params)).json()
        seen += [each["name"] for each in page["items"]]
        next_page = page["next"]
        if next_page is None:
            break
    assert seen == ["cart.updated", "cart.updated", "profile.identified"]
    assert (await reader.get(f"/events/{shop.event_id}")).json()["properties"] == {"cart_id": "k1"}


async def test_enrolments_are_filtered_and_paged(shop: Shop, reader: httpx.AsyncClient) -> None:
    async def ids(**params: object) -> list[str]:
        answer = await reader.get("/enrolments", params={k: str(v) for k, v in params.items()})
        return [each["id"] for each in answer.json()["items"]]

    assert await ids() == [shop.ended, shop.live]
    assert await ids(status="live") == [shop.live]
    assert await ids(exit="goal") == [shop.ended]
    assert await ids(journey="other") == []
    first = (await reader.get("/enrolments", params={"limit": 1})).json()
    assert await ids(limit=1, next=first["next"]) == [shop.live]


async def test_an_enrolment_tells_its_way_in_words(shop: Shop, reader: httpx.AsyncClient) -> None:
    got = (await reader.get(f"/enrolments/{shop.live}")).json()
    assert [line["words"] for line in got["trace"]] == [
        "entered `unpaid-cart`",
        "`offer-test`: variant `coupon`",
        "`coupon-reminder` sent by sms",
        "`pause` waits until 2026-11-12 10:01:00 UTC",
    ]
    assert got["trigger"] == {"cart_id": "k1"}
    assert [each["step"] for each in got["deliveries"]] == ["coupon-reminder"]


async def test_deliveries_are_filtered_and_paged(shop: Shop, reader: httpx.AsyncClient) -> None:
    first = (await reader.get("/deliveries", params={"limit": 1, "state": "claimed"})).json()
    second = (await reader.get("/deliveries", params={"limit": 1, "next": first["next"]})).json()
    assert [each["enrolment_id"] for each in first["items"] + second["items"]] == [shop.ended, shop.live]
    assert second["next"] is None
    assert (await reader.get("/deliveries", params={"state": "bounced"})).json()["items"] == []


async def test_a_message_tells_its_life(shop: Shop, reader: httpx.AsyncClient) -> None:
    got = (await reader.get(f"/messages/{shop.live}/coupon-reminder")).json()
    assert (got["step"], got["why"]) == ("coupon-reminder", [])
    assert [each["what"] for each in got["life"]] == ["asked", "claimed"]
    assert "coupon-reminder" in got["life"][0]["words"]
    assert (await reader.get("/messages/nothing/here")).status_code == 404


async def test_a_journey_tells_its_numbers(shop: Shop, reader: httpx.AsyncClient) -> None:
    listed = (await reader.get("/journeys")).json()["items"]
    assert [(each["name"], each["status"], each["under_way"]) for each in listed] == [
        ("by-hand", "live", 0),
        ("unpaid-cart", "live", 1),
    ]
    assert (await reader.get("/journeys/unpaid-cart")).json()["exits"] == {"goal": 1}


async def test_an_operator_pauses_and_resumes(shop: Shop, operator: httpx.AsyncClient) -> None:
    paused = await operator.post("/journeys/unpaid-cart/pause")
    assert (paused.status_code, paused.json()["status"], paused.json()["under_way"]) == (200, "paused", 1)
    assert (await operator.get("/journeys/unpaid-cart")).json()["status"] == "paused"
    assert (await operator.post("/journeys/unpaid-cart/resume")).json()["status"] == "live"
    assert (await operator.post("/journeys/nothing/pause")).status_code == 404


async def test_cancelling_tells_the_enrolment_to_end(
    shop: Shop, operator: httpx.AsyncClient, database: AsyncEngine
) -> None:
    assert (await operator.post(f"/enrolments/{shop.live}/cancel")).status_code == 202
    async with database.connect() as connection:
        rows = await connection.execute(text("SELECT enrolment_id, payload FROM start_outbox"))
        [row] = list(rows)
    assert (str(row.enrolment_id), row.payload["action"], row.payload["exit"]) == (
        shop.live,
        "end",
        "cancelled",
    )
    again = await operator.post(f"/enrolments/{shop.ended}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "ended")


async def test_entering_by_hand_is_asked_for_once(shop: Shop, operator: httpx.AsyncClient) -> None:
    wanted = {
        "identity": {"kind": "external_id", "value": "c-17"},
        "properties": {"plan": "trial"},
        "message_id": "m-1",
    }
    first = await operator.post("/journeys/by-hand/enter", json=wanted)
    second = await operator.post("/journeys/by-hand/enter", json=wanted)
    assert (first.status_code, first.json()["duplicate"]) == (202, False)
    assert (second.json()["enrolment_id"], second.json()["duplicate"]) == (
        first.json()["enrolment_id"],
        True,
    )
    refused = await operator.post("/journeys/unpaid-cart/enter", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")


async def test_each_scope_opens_its_own_doors_only(shop: Shop, address: str) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        for key, path, method, status in (
            (WRITE_KEY, "/api/v1/journeys", "GET", 403),
            (READ_KEY, "/api/v1/journeys", "GET", 200),
            (READ_KEY, "/api/v1/journeys/by-hand/pause", "POST", 403),
            (MANAGE_KEY, "/api/v1/journeys", "GET", 200),
            (MANAGE_KEY, "/api/v1/journeys/by-hand/pause", "POST", 200),
            ("unknown", "/api/v1/journeys", "GET", 401),
        ):
            answer = await client.request(method, path, auth=(key, ""))
            assert answer.status_code == status, (key, path)
            if status >= 400:
                assert answer.headers["content-type"] == "application/problem+json"


async def test_mistakes_of_a_request_are_problems(shop: Shop, reader: httpx.AsyncClient) -> None:
    for path, status, code in (
        ("/enrolments/not-an-id", 422, "invalid"),
        ("/enrolments/00000000-0000-0000-0000-000000000000", 404, "no-such-enrolment"),
        ("/enrolments?limit=0", 422, "invalid"),
        ("/enrolments?next=xyz", 400, "bad-page"),
        ("/deliveries?next=WyJ4IiwgMV0", 400, "bad-page"),
        ("/profiles?value=a%00b", 422, "invalid"),
        ("/nothing", 404, "not-found"),
    ):
        answer = await reader.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_metrics_tell_how_the_tables_stand(shop: Shop, reader: httpx.AsyncClient, address: str) -> None:
    text = (await reader.get(address + "/metrics")).text
    assert "kairos_events_unrouted 3.0" in text
    assert 'kairos_enrolments_live{journey="unpaid-cart"} 1.0' in text
    assert 'kairos_deliveries{channel="none",state="claimed"} 2.0' in text
    assert "c-17" not in text
    assert shop.profile_id not in text


async def test_a_crowd_is_asked_for_seen_and_cancelled(
    shop: Shop, operator: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    asked = await operator.post(
        "/crowds", json={"journey": "by-hand", "all": True, "properties": {"plan": "x"}}
    )
    assert asked.status_code == 202
    first = asked.json()
    assert (first["status"], first["what"], first["properties"]) == ("waiting", "all", {"plan": "x"})
    named = {
        "journey": "by-hand",
        "identities": [
            {"kind": "email", "value": "nobody@example.com"},
            {"kind": "external_id", "value": "c-17"},
        ],
        "profile_ids": [shop.profile_id, "00000000-0000-4000-8000-000000000000"],
    }
    second = (await operator.post("/crowds", json=named)).json()
    assert (second["not_one"], second["total"], second["unknown"]) == ([0, 3], 1, 2)

    page = (await reader.get("/crowds", params={"limit": 1})).json()
    assert [each["id"] for each in page["items"]] == [second["id"]]
    rest = (await reader.get("/crowds", params={"next": page["next"], "journey": "by-hand"})).json()
    assert ([each["id"] for each in rest["items"]], rest["next"]) == ([first["id"]], None)

    assert (await operator.post(f"/crowds/{first['id']}/cancel")).json()["status"] == "cancelled"
    assert (await operator.post(f"/crowds/{first['id']}/cancel")).json()["code"] == "ended"
    crowd = await Crowds(shop.database).advance(second["id"])
    while crowd is not None and not crowd.over:
        crowd = await Crowds(shop.database).advance(second["id"])
    got = (await reader.get(f"/crowds/{second['id']}")).json()
    assert (got["status"], got["looked_at"], got["entered"], got["refused"]) == ("entered", 1, 1, {})
    (entered,) = (await reader.get("/enrolments", params={"journey": "by-hand"})).json()["items"]
    in_full = (await reader.get(f"/enrolments/{entered['id']}")).json()
    assert in_full["trigger"] == {"id": second["id"]}


async def test_a_crowd_is_refused_in_words(
    shop: Shop, operator: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    async def code(**body: object) -> tuple[int, str]:
        answer = await operator.post("/crowds", json=body)
        return answer.status_code, answer.json()["code"]

    assert await code(journey="nothing", all=True) == (404, "no-such-journey")
    assert await code(journey="unpaid-cart", all=True) == (409, "refused")
    assert await code(journey="by-hand", all=True, properties={"plam": 1}) == (409, "refused")
    assert await code(journey="by-hand") == (409, "refused")  # no campaign
    assert await code(journey="by-hand", all=True, tag="vip") == (422, "invalid")
    assert (await reader.post("/crowds", json={"journey": "by-hand", "all": True})).status_code == 403
    assert (await reader.get("/crowds/00000000-0000-4000-8000-000000000000")).status_code == 404
