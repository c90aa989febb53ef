"""Intake: batches against `COPY`, and single events at a steady pace.

The API runs as operators run it, one process. Customers are known, so that identities are looked up and
found. The baseline is `COPY` of the very rows that the batches became, read back and copied into the same
table after it was emptied, its indexes too; nothing is routed meanwhile, in either.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.findings import Finding, compared, figure
from benchmarks.lab import Lab, apply, ingest_key, opened
from benchmarks.statistics import percentile
from engine.ingest.intake import accept
from engine.temporal.server import port_near
from tests.integration.processes import processes

FULL = 20_000
CUSTOMERS = 10_000
BATCH = 1_000
REQUESTS_AT_ONCE = 4
TRACK_SECONDS = 20
TRACK_RATE = 100
COLUMNS = "event_id, profile_id, shard, name, type, properties, occurred_at, received_at, source, message_id"
PROJECT = {
    "kairos.yaml": "version: 1\n",
    "journeys/catalog.yaml": """events:
  cart.updated: {properties: {cart_id: text, total: number, currency: text, items: number, page: text}}
""",
}


async def run(lab: Lab) -> list[Finding]:
    """Batches by HTTP against `COPY`."""
    size = lab.sized(FULL, 2 * BATCH)
    ours: list[float] = []
    theirs: list[float] = []
    url = await lab.database("intake")
    port = port_near(0)
    async with opened(url) as database:
        await apply(database, PROJECT)
        await _make_customers(database)
        token = await ingest_key(database)
        with processes(lab.place("intake"), url, "127.0.0.1:1") as parts:
            await asyncio.to_thread(parts.api(port).start)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                await _post(client, token, _bodies(-1, 4 * BATCH))
                for number in range(lab.pairs):
                    bodies = _bodies(number, size)
                    await _empty(database)
                    began = time.perf_counter()
                    await _post(client, token, bodies)
                    ours.append(size / (time.perf_counter() - began))
                    theirs.append(size / await _copy(database, size))
    length = len(_bodies(0, BATCH)[0]) // BATCH
    return [
        compared(
            "intake by `/v1/batch`, acknowledged after commit, identities found",
            "`COPY` of the same rows into the same table with its indexes",
            ours,
            theirs,
            0.2,
            "at least",
            unit="events a second",
            notes=[
                f"{size:,} events of {CUSTOMERS:,} known customers a run, {length} bytes of JSON an event, "
                f"{BATCH} a batch, {REQUESTS_AT_ONCE} requests at once, one API process on one core"
            ],
        )
    ]


async def track(lab: Lab) -> list[Finding]:
    """Single events at a steady pace."""
    count = lab.sized(TRACK_SECONDS * TRACK_RATE, 100)
    took: list[float] = []
    url = await lab.database("track")
    port = port_near(0)
    async with opened(url) as database:
        await apply(database, PROJECT)
        await _make_customers(database, 1_000)
        token = await ingest_key(database)
        with processes(lab.place("track"), url, "127.0.0.1:1") as parts:
            await asyncio.to_thread(parts.api(port).start)
            limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=60
            ) as client:

                async def send(number: int) -> None:
                    body = json.dumps(_event("track", number, 1_000))
                    began = time.perf_counter()
                    answer = await client.post("/v1/track", content=body, headers=_headers(token))
                    if number >= 0:
                        took.append(time.perf_counter() - began)
                    answer.raise_for_status()

                for number in range(-20, 0):
                    await send(number)
                # At its own pace, whatever is still under way: a slow answer must not slow the senders.
                await _paced(TRACK_RATE, count, send)
    p50, p99 = (1_000 * percentile(took, share) for share in (0.5, 0.99))
    value = f"p50 {figure(p50)} ms, p99 {figure(p99)} ms"
    note = f"{count:,} events, acknowledged after commit; longest {figure(1_000 * max(took))} ms"
    return [Finding(f"one `/v1/track` at {TRACK_RATE} a second", "", value, notes=(note,))]


async def _paced(rate: float, count: int, send: Any) -> None:
    began = time.perf_counter()
    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(send(number)))
    await asyncio.gather(*tasks)


def _headers(token: str) -> dict[str, str]:
    basic = b64encode(f"{token}:".encode()).decode()
    return {"authorization": f"Basic {basic}", "content-type": "application/json"}


def _event(run: object, number: int, customers: int = CUSTOMERS) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "type": "track",
        "userId": f"customer-{number % customers}",
        "event": "cart.updated",
        "messageId": f"{run}-{number}",
        "timestamp": now,
        "properties": {
            "cart_id": f"cart-{number}",
            "total": number % 1_000 + 0.5,
            "currency": "CNY",
            "items": number % 7,
            "page": "https://shop.example.com/cart",
        },
        "context": {"library": {"name": "analytics-python", "version": "2.3.4"}},
    }


def _bodies(run: int, size: int) -> list[bytes]:
    return [
        json.dumps(
            {"batch": [_event(run, number) for number in range(start, min(start + BATCH, size))]}
        ).encode()
        for start in range(0, size, BATCH)
    ]


async def _post(client: httpx.AsyncClient, token: str, bodies: Sequence[bytes]) -> None:
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            answer = await client.post("/v1/batch", content=body, headers=_headers(token))
            if answer.json() != {"success": True}:
                raise AssertionError(f"{answer.status_code}: {answer.text[:300]}")

    await asyncio.gather(*(work() for _ in range(REQUESTS_AT_ONCE)))


async def _make_customers(database: AsyncEngine, count: int = CUSTOMERS) -> None:
    now = datetime.now(UTC)
    for start in range(0, count, BATCH):
        people = range(start, min(start + BATCH, count))
        messages = [{"type": "identify", "userId": f"customer-{number}", "traits": {}} for number in people]
        await accept(database, "bench", messages, now)


async def _empty(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        await _empty_on(connection)


async def _copy(database: AsyncEngine, size: int) -> float:
    """Seconds that `COPY` takes for the rows that intake has just made, into a table of the same make."""
    async with database.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        rows = await raw.fetch(f"SELECT {COLUMNS.replace('properties', 'properties::text')} FROM events")
        if len(rows) != size:
            raise AssertionError(f"{size} events were sent, {len(rows)} are there")
        await _empty_on(connection)
        columns = COLUMNS.split(", ")
        began = time.perf_counter()
        await raw.copy_records_to_table("events", records=rows, columns=columns)
        took = time.perf_counter() - began
        await connection.rollback()
    return took


async def _empty_on(connection: AsyncConnection) -> None:
    await connection.execute(sa.text("TRUNCATE events"))
    await connection.commit()
