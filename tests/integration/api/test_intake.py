"""Intake over HTTP, on a served API and a real database."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import identities, profiles
from tests.integration.api.conftest import READ_KEY


async def names(database: AsyncEngine) -> list[str]:
    async with database.connect() as connection:
        result = await connection.execute(text("SELECT name FROM events ORDER BY sequence"))
        return [row.name for row in result]


def track(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "c-1", "event": f"e{number}", "messageId": f"m{number}", **more}


async def test_every_kind_of_message_is_kept(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "track": {"event": "cart.updated"},
        "identify": {"traits": {"email": "ada@example.com"}},
        "alias": {"previousId": "visitor-1"},
        "page": {"name": "Home"},
        "screen": {"name": "Home"},
        "group": {"groupId": "club"},
    }
    for kind, body in bodies.items():
        answer = await http.post(f"/v1/{kind}", json={"userId": "c-1", **body})
        assert (answer.status_code, answer.json()) == (200, {"success": True}), kind
    assert await names(database) == [
        "cart.updated",
        "profile.identified",
        "profile.aliased",
        "page.viewed",
        "screen.viewed",
        "group.joined",
    ]


async def test_a_bad_event_is_reported_and_the_others_kept(
    http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    big = track(4, properties={"text": "x" * 40_000})
    answer = await http.post("/v1/batch", json={"batch": [track(1), {"type": "track"}, 7, big, track(5)]})
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert [each["index"] for each in answer.json()["rejected"]] == [1, 2, 3]
    assert "at most 32768" in answer.json()["rejected"][2]["reason"]
    assert answer.json()["rejected"][2]["messageId"] == "m4"
    assert await names(database) == ["e1", "e5"]


async def test_a_message_sent_again_is_kept_once(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    for _ in range(3):
        assert (await http.post("/v1/batch", json={"batch": [track(1), track(2)]})).status_code == 200
    assert await names(database) == ["e1", "e2"]


async def test_single_events_sent_at_once_are_each_answered_and_kept(
    http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    bodies = [track(number) for number in range(40)]
    bodies[7] = {"event": "whose?"}
    answers = await asyncio.gather(*(http.post("/v1/track", json=body) for body in bodies))
    assert [n for n, answer in enumerate(answers) if answer.status_code != 200] == [7]
    assert (answers[7].status_code, answers[7].json()["code"]) == (400, "rejected")
    assert sorted(await names(database)) == sorted(f"e{n}" for n in range(40) if n != 7)
    counted = (await http.get("/metrics")).text
    assert "kairos_events_accepted_total 39.0" in counted
    assert "kairos_events_rejected_total 1.0" in counted


async def test_gzip_is_unpacked(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    packed = gzip.compress(json.dumps({"batch": [track(1)]}).encode())
    answer = await http.post("/v1/import", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert await names(database) == ["e1"]


async def test_the_key_may_come_in_the_body(
    address: str, http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        answer = await client.post("/v1/track", json={**track(), "writeKey": "kairos_ingest_test"})
        assert answer.status_code == 200
        assert (await client.post("/v1/track", json={**track(), "writeKey": "other"})).status_code == 401
        assert (await client.post("/v1/track", json=track())).status_code == 401
    assert await names(database) == ["e1"]


async def test_a_key_of_another_scope_cannot_send_events(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, auth=(READ_KEY, "")) as client:
        answer = await client.post("/v1/track", json=track())
    assert answer.status_code == 403
    assert answer.json()["code"] == "wrong-scope"


async def test_a_wrong_clock_is_corrected_by_sent_at(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    skewed = {"batch": [track(1, timestamp="2001-01-01T00:00:00Z")], "sentAt": "2001-01-01T01:00:00Z"}
    assert (await http.post("/v1/batch", json=skewed)).json() == {"success": True}
    async with database.connect() as connection:
        result = await connection.execute(
            text("SELECT now() - occurred_at BETWEEN interval '59 min' AND interval '61 min' FROM events")
        )
        assert result.scalar_one() is True


async def test_health_tells_that_all_is_well(http: httpx.AsyncClient) -> None:
    await http.post("/v1/track", json=track())
    answer = await http.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["oldest_unrouted_seconds"] >= 0


async def test_metrics_count_events(http: httpx.AsyncClient) -> None:
    await http.post("/v1/batch", json={"batch": [track(1), track(1), {}]})
    text = (await http.get("/metrics")).text
    assert "kairos_events_accepted_total 1.0" in text
    assert "kairos_events_duplicate_total 1.0" in text
    assert "kairos_events_rejected_total 1.0" in text
    assert 'kairos_http_request_seconds_count{method="POST",route="/v1/batch",status="200"} 1.0' in text


async def test_web_pages_may_send_events(http: httpx.AsyncClient) -> None:
    asked = await http.options("/v1/track", headers={"Origin": "https://shop.example"})
    assert asked.status_code == 204
    sent = await http.post("/v1/track", json=track(), headers={"Origin": "https://shop.example"})
    assert sent.headers["access-control-allow-origin"] == "*"


async def test_an_identifier_that_identifies_nobody_is_kept_counted_and_told(
    http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    traits = {"phone": "12345", "email": "x" * 10_000, "device_id": "D-1"}
    answer = await http.post("/v1/identify", json={"userId": "c-1", "traits": traits})
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "warnings": [
            "traits.phone: expected a number with its country code, such as +8613800138000; "
            "`phone_region` in kairos.yaml says where numbers without one are from; "
            "it is kept and identifies nobody",
            "traits.email: 10000 characters, at most 256 are allowed; it is kept and identifies nobody",
        ],
    }
    many = {"batch": [track(), {"type": "identify", "userId": "c-2", "messageId": "m2", "traits": traits}]}
    warned = (await http.post("/v1/batch", json=many)).json()
    assert warned["success"]
    assert [(each["index"], each["messageId"]) for each in warned["warnings"]] == [(1, "m2"), (1, "m2")]
    async with database.connect() as connection:
        kept = await identities.find_batch(connection, [("external_id", "c-1"), ("device_id", "d-1")])
        profile_id = kept["external_id", "c-1"]
        profile = (await profiles.get_batch(connection, [profile_id]))[profile_id]
        counted = await identities.problems(connection)
    assert profile.addresses == {"device_id": "d-1"}
    assert profile.attributes == {"phone": "12345", "email": "x" * 10_000}
    assert kept["device_id", "d-1"] == profile_id
    assert {(each.kind, each.source, each.seen) for each in counted} == {
        ("phone", "shop", 2),
        ("email", "shop", 2),
    }
