"""The outbox page in a real browser: what it shows, and that no message can do anything there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from engine.store import outbox
from engine.store.database import open_database
from engine.store.outbox import OutboxMessage
from tests.e2e.conftest import Browse
from workers.api import run_api


@dataclass
class Canary:
    """A server that nothing in a message may reach; `reached` are first lines of requests.

    A connection without a request does not count: a browser opens some before it asks what may be loaded.
    """

    address: str
    reached: list[str] = field(default_factory=list)


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("latin-1").strip()
        if line:
            found.reached.append(line)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n")
        writer.write(b"<img src='/picture'>" if "/control" in line else b"")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    found = Canary(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    yield found
    server.close()


def attacks(canary: str) -> str:
    return (
        f"<script>document.title='owned'; fetch('{canary}/script')</script>"
        f"<img src='{canary}/picture' onerror=\"top.document.title='owned'\">"
        f"<svg onload=\"parent.location='{canary}/svg'\"></svg>"
        f"<meta http-equiv='refresh' content='0;url={canary}/refresh'>"
        f"<link rel='stylesheet' href='{canary}/style'><iframe src='{canary}/frame'></iframe>"
        f"<base href='{canary}/'><form action='{canary}/form'><button autofocus>x</button></form>"
        "\"' onmouseover=alert(1) <b id='harmless'>still readable</b>"
    )


async def test_messages_are_shown_and_can_do_nothing(
    database_url: str, canary: Canary, browse: Browse
) -> None:
    bad = attacks(canary.address)
    messages = [
        OutboxMessage("k0", "sms", "+8613800000000", {"text": "Your cart waits 🛒"}),
        *(
            OutboxMessage(f"k-{channel}", channel, bad, dict.fromkeys((*names, bad), bad), template=bad)
            for channel, names in (
                ("email", ("subject", "text", "html")),
                ("sms", ("text",)),
                ("push", ("title", "body")),
                ("wechat", ("json",)),
            )
        ),
    ]
    database = open_database(database_url)
    async with database.begin() as connection:
        await outbox.keep_batch(connection, messages)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        run_api(database, port=0, stop=stop, ready=ready.set_result, open_pages=True)
    )
    try:
        address = await asyncio.wait_for(ready, 20)
        page = await asyncio.to_thread(browse, f"{address}/outbox")
        reached = list(canary.reached)
        await asyncio.to_thread(browse, f"{canary.address}/control")
    finally:
        stop.set()
        await asyncio.wait_for(serving, 20)
        await database.dispose()
    assert "<title>Outbox · Kairos</title>" in page
    assert "Your cart waits 🛒" in page
    assert page.count("<iframe") == 1
    assert reached == []
    # The canary does see what a page without our rules loads.
    assert canary.reached[:2] == ["GET /control HTTP/1.1", "GET /picture HTTP/1.1"]
