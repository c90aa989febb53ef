"""Calls of a provider taken in: read, verified, decrypted, written, answered; by two connections.

One API process as operators run it, and this one calling it over two connections that are kept open. The
baseline writes the very rows that the calls became, one `INSERT` each, over two connections straight to
PostgreSQL. Nothing is worked off meanwhile, in either.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.findings import Finding, compared
from benchmarks.first_minutes import APP, CORP, KEY, SECRETS, TOKEN, project
from benchmarks.lab import Lab, apply, opened
from channels.testing.wechat_calls import Caller
from engine.temporal.server import port_near
from tests.integration.processes import processes

FULL = 1_000
CONNECTIONS = 2
INSERT = "INSERT INTO heard (channel, adapter, kind, message_id, payload) VALUES ($1, $2, $3, $4, $5)"


async def run(lab: Lab) -> list[Finding]:
    """Encrypted events of WeCom, and receipts of template messages."""
    size = lab.sized(FULL, 50)
    ours: dict[str, list[float]] = {"events": [], "receipts": []}
    theirs: dict[str, list[float]] = {"events": [], "receipts": []}
    url = await lab.database("callbacks")
    port = port_near(0)
    async with opened(url) as database:
        await apply(database, project("http://127.0.0.1:9", "http://127.0.0.1:9"))
        with processes(lab.place("callbacks"), url, "127.0.0.1:1", **SECRETS) as parts:
            await asyncio.to_thread(parts.api(port).start)
            await _calls(port, _requests("events", -1, size))
            for number in range(lab.pairs):
                for kind in ours:
                    await _empty(database)
                    ours[kind].append(size / await _calls(port, _requests(kind, number, size)))
                    rows = await _rows(database, size)
                    await _empty(database)
                    theirs[kind].append(size / await _inserts(url, rows))
    return [
        compared(
            f"{what} taken in, verified and written, {CONNECTIONS} connections",
            "the same rows by single `INSERT`s over as many connections",
            ours[kind],
            theirs[kind],
            0.5,
            "at least",
            unit="a second",
            notes=[note],
        )
        for kind, what, note in (
            (
                "events",
                "new friends of WeCom",
                f"{size:,} encrypted calls a run, one API process",
            ),
            ("receipts", "receipts of WeChat", f"{size:,} encrypted calls a run, each with one receipt"),
        )
    ]


def _requests(kind: str, run: int, size: int) -> list[bytes]:
    """HTTP requests, ready to be sent: making them is not what is measured."""
    caller = Caller(TOKEN, CORP if kind == "events" else APP, KEY)
    channel = "wecom" if kind == "events" else "wechat"
    found = []
    for number in range(size):
        call = caller.call(datetime.now(UTC), _document(kind, f"{run}-{number}"))
        path = f"/callbacks/{channel}/{SECRETS[f'{channel.upper()}_ADDRESS']}?{urlencode(call.query)}"
        head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: text/xml\r\n"
        found.append(f"{head}content-length: {len(call.body)}\r\n\r\n".encode() + call.body)
    return found


def _document(kind: str, name: str) -> dict[str, Any]:
    if kind == "events":
        return {
            "FromUserName": "sys",
            "MsgType": "event",
            "Event": "change_external_contact",
            "ChangeType": "add_external_contact",
            "UserID": "zhang",
            "ExternalUserID": f"wm-{name}",
            "State": "shop-8",
            "WelcomeCode": f"code-{name}",
        }
    return {
        "FromUserName": f"o-{name}",
        "MsgType": "event",
        "Event": "TEMPLATESENDJOBFINISH",
        "MsgID": f"2000{name}",
        "Status": "success",
    }


async def _calls(port: int, requests: Sequence[bytes]) -> float:
    """Seconds until all are answered. Bare sockets: a client library would be half of what is measured."""
    waiting = iter(requests)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise AssertionError(head[:100])
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


async def _rows(database: AsyncEngine, size: int) -> list[tuple[Any, ...]]:
    async with database.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        rows = await raw.fetch("SELECT channel, adapter, kind, message_id, payload::text FROM heard")
    if len(rows) != size:
        raise AssertionError(f"{size} were told, {len(rows)} are there")
    return [tuple(row) for row in rows]


async def _inserts(url: str, rows: Sequence[tuple[Any, ...]]) -> float:
    """Seconds for the rows, one statement and one commit each."""
    plain = url.replace("postgresql+asyncpg://", "postgresql://")
    connections = [await asyncpg.connect(plain) for _ in range(CONNECTIONS)]
    waiting = iter(rows)

    async def work(connection: Any) -> None:
        statement = await connection.prepare(INSERT)
        for row in waiting:
            await statement.fetch(*row)

    try:
        began = time.perf_counter()
        await asyncio.gather(*(work(connection) for connection in connections))
        return time.perf_counter() - began
    finally:
        for connection in connections:
            await connection.close()


async def _empty(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text("TRUNCATE heard"))
