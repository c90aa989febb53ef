"""Whatever strangers send: a clear error, bounded time and memory, nothing else disturbed."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.api.conftest import MANAGE_KEY, WRITE_KEY

GOOD = {"type": "track", "userId": "c-1", "event": "cart.updated"}
SECONDS = 10
"""Longer than any of these requests may take; most take milliseconds."""


@pytest.fixture(autouse=True)
async def nothing_else_is_disturbed(http: httpx.AsyncClient, database: AsyncEngine) -> AsyncIterator[None]:
    """After each test an event is still taken, within a moment."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS
    answer = await http.post("/v1/track", json={**GOOD, "event": "last", "messageId": "last"})
    assert answer.json() == {"success": True}


async def events(database: AsyncEngine) -> list[Any]:
    async with database.connect() as connection:
        return list(await connection.execute(text("SELECT * FROM events ORDER BY sequence")))


def problem(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    assert answer.json()["message"] == detail
    return detail


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b'{"userId": "c-1", ', "line 1, column 19"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[1, 2]", "expected a JSON object"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a":' * 90_000, "nested too deep"),
    ],
)
async def test_malformed_json(http: httpx.AsyncClient, body: bytes, said: str) -> None:
    for path in ("/v1/track", "/v1/batch"):
        assert said in problem(await http.post(path, content=body), 400, "malformed")


async def test_an_unknown_key_is_told_so(address: str, database: AsyncEngine) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        for key in ("nobody", "x" * 5000, "", "a\x00b"):
            problem(await client.post("/v1/track", json=GOOD, auth=(key, "")), 401, "unknown-key")
        for header in ("Basic", "Basic !!!", "Basic /w==", "Bearer", "Digest x"):
            answer = await client.post("/v1/track", json=GOOD, headers={"Authorization": header})
            problem(answer, 401, "unknown-key")
    assert await events(database) == []


async def test_ten_megabytes_are_cut_off_and_the_sender_is_told(
    http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    assert "500 KB" in problem(await http.post("/v1/batch", content=b"x" * 10_485_760), 413, "too-large")
    problem(await http.post("/v1/batch", content=pieces()), 413, "too-large")
    # Without a key the body is refused before the key is looked for.
    problem(await http.post("/v1/batch", content=b"x" * 10_485_760, auth=("nobody", "")), 401, "unknown-key")
    assert await events(database) == []


async def test_an_endless_body_is_cut_off(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = httpx.BasicAuth(WRITE_KEY, "")._auth_header
    writer.write(
        f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    sent = 0
    answer = asyncio.create_task(reader.read(200))
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                await writer.drain()
                sent += 65_536
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
    assert sent < 64 << 20
    assert (await answer).startswith(b"HTTP/1.1 413")


async def test_a_gzip_bomb_is_never_unpacked(http: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b"\x00" * (400 << 20), compresslevel=9)
    assert len(bomb) < 500 * 1024
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    answer = await http.post("/v1/batch", content=bomb, headers={"Content-Encoding": "gzip"})
    problem(answer, 413, "too-large")
    assert process.memory_info().rss - before < 50 << 20


# An id each: gzip writes the time into its header, and every test process has to collect the same names.
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"no gzip", id="plain"),
        pytest.param(gzip.compress(b"{}")[:-6], id="cut-short"),
        pytest.param(gzip.compress(b"{}") * 2, id="two-in-one"),
    ],
)
async def test_broken_gzip(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/v1/track", content=body, headers={"Content-Encoding": "gzip"})
    assert "gzip" in problem(answer, 400, "malformed")


async def test_an_unknown_encoding(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/track", content=b"x", headers={"Content-Encoding": "br"})
    problem(answer, 415, "unknown-encoding")


async def test_an_event_from_1970_and_one_from_next_year(
    http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    late = (datetime.now(UTC) + timedelta(days=366)).isoformat()
    batch = [{**GOOD, "timestamp": "1970-01-01T00:00:00Z"}, {**GOOD, "timestamp": late}, GOOD]
    answer = await http.post("/v1/batch", json={"batch": batch})
    reasons = [each["reason"] for each in answer.json()["rejected"]]
    assert "days ago" in reasons[0]
    assert "in the future" in reasons[1]
    assert len(await events(database)) == 1
    problem(await http.post("/v1/track", json=batch[0]), 400, "rejected")


async def test_four_byte_characters_are_kept(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    body = {**GOOD, "event": "寄送𠮷", "userId": "顧客🛒", "properties": {"note": "🎉" * 1000}}
    assert (await http.post("/v1/track", json=body)).status_code == 200
    [row] = await events(database)
    assert (row.name, row.properties) == ("寄送𠮷", {"note": "🎉" * 1000})


async def test_nul_characters_and_half_surrogates_lose_nothing_else(
    http: httpx.AsyncClient, database: AsyncEngine
) -> None:
    body = (
        rb'{"batch": [{"type":"track","userId":"a\u0000b","event":"x"},'
        rb'{"type":"track","userId":"c","event":"x\ud800"},'
        rb'{"type":"track","userId":"c","event":"kept","messageId":"m\u0000"},'
        rb'{"type":"track","userId":"c","event":"kept","properties":{"a\u0000":"b\u0000\ud83d"}}]}'
    )
    answer = await http.post("/v1/batch", content=body)
    assert answer.status_code == 200
    assert [each["index"] for each in answer.json()["rejected"]] == [0, 1, 2]
    [row] = await events(database)
    assert row.properties == {"a": "b\ufffd"}


async def test_odd_numbers_lose_nothing_else(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    huge = b"9" * 5000
    body = b'{"batch": [%s]}' % b",".join(
        b'{"type":"track","userId":"c","event":"x","properties":{"n":%s}}' % n
        for n in (huge, b"NaN", b"-Infinity", b"1e999", b"-0.0", b"12345678901234567890")
    )
    answer = await http.post("/v1/batch", content=body)
    assert [each["index"] for each in answer.json()["rejected"]] == [0, 1, 2, 3]
    assert len(await events(database)) == 2


async def test_deep_nesting_loses_nothing_else(http: httpx.AsyncClient, database: AsyncEngine) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    batch = [{**GOOD, "properties": deep}, {**GOOD, "properties": {"fine": True}}]
    answer = await http.post("/v1/batch", json={"batch": batch})
    assert "deep" in answer.json()["rejected"][0]["reason"]
    assert len(await events(database)) == 1


@pytest.mark.parametrize("batch", [None, {}, "x", 7])
async def test_a_batch_that_is_none(http: httpx.AsyncClient, batch: object) -> None:
    assert "batch" in problem(await http.post("/v1/batch", json={"batch": batch}), 400, "malformed")


async def test_too_many_events_in_a_batch(http: httpx.AsyncClient) -> None:
    problem(await http.post("/v1/batch", json={"batch": [0] * 10_001}), 413, "too-large")


async def test_a_slow_sender_holds_nobody_up(address: str, http: httpx.AsyncClient) -> None:
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    assert (await http.post("/v1/track", json=GOOD)).status_code == 200
    writer.close()


async def test_a_large_body_to_the_management_api_is_cut_off(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, auth=(MANAGE_KEY, "")) as client:
        for path in ("/api/v1/journeys/x/enter", "/api/v1/journeys/x/pause"):
            answer = await client.post(path, content=b"x" * 10_485_760)
            assert answer.status_code in (413, 404), path
