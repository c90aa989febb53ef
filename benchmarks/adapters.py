"""One adapter's messages through its fake provider, which answers after 20 ms, against `httpx` alone.

Both run in this process, in turns, with as many calls at once; the fake is a process of its own and checks
every call. `httpx` sends the same mails, each ready-made with its own key.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from itertools import count

import httpx

from benchmarks.findings import Finding, compared
from benchmarks.lab import Lab
from benchmarks.slow_provider import DOMAIN, KEY, LATENCY
from channels import Accepted, Message, create
from engine.temporal.server import port_near
from tests.integration.processes import processes

SIZE = 2_000
SHARE = 0.8
AT_ONCE = (16, 50)
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
TEXT = "Hello Fatima,\n\nthe first tea of spring has come in.\n" * 10
_numbers = count()


async def run(lab: Lab) -> list[Finding]:
    """The rate of the `resend` adapter against that of `httpx`, for two numbers of calls at once."""
    size = lab.sized(SIZE, 200)
    port = port_near(0)
    with processes(lab.place("adapters"), "postgresql://none", "127.0.0.1:1") as parts:
        words = ["benchmarks.slow_provider", "--port", str(port)]
        fake = parts.program("provider", words, "provider: ready")
        await asyncio.to_thread(fake.start)
        return [await _compare(f"http://127.0.0.1:{port}", size, at_once, lab.pairs) for at_once in AT_ONCE]


async def _compare(url: str, size: int, at_once: int, pairs: int) -> Finding:
    ours: list[float] = []
    theirs: list[float] = []
    settings = {
        "api_key": KEY,
        "from": f"Nanxun Tea <hello@{DOMAIN}>",
        "endpoint": url,
        "connections": at_once,
    }
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with (
        create("resend", "email", settings) as adapter,
        httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client,
    ):

        async def adapters(size: int) -> float:
            messages = [_message() for _ in range(size)]
            began = time.perf_counter()
            outcomes = await adapter.send(messages)
            took = time.perf_counter() - began
            if not all(isinstance(outcome, Accepted) for outcome in outcomes):
                raise AssertionError("a mail was not taken")
            return size / took

        async def alone(size: int) -> float:
            calls = iter([_call() for _ in range(size)])
            began = time.perf_counter()
            await asyncio.gather(*(_client(client, calls) for _ in range(at_once)))
            return size / (time.perf_counter() - began)

        for one in (adapters, alone):
            await one(2 * at_once)
        for number in range(pairs):
            both = [(adapters, ours), (alone, theirs)]
            for one, rates in both if number % 2 else reversed(both):
                rates.append(await one(size))
    return compared(
        f"mails by `resend`, {at_once} at once, each answered after {LATENCY * 1000:g} ms",
        f"`httpx` alone, {at_once} at once",
        ours,
        theirs,
        SHARE,
        "at least",
        unit="mails a second",
        notes=[f"{size:,} mails in turns; the latency alone allows {at_once / LATENCY:,.0f} a second"],
    )


def _message() -> Message:
    number = next(_numbers)
    return Message(
        key=f"bench-{number}",
        channel="email",
        address=f"customer-{number}@example.net",
        parts={"subject": "Spring tea", "text": TEXT},
        template="spring",
        at=AT,
    )


Call = tuple[bytes, dict[str, str]]


def _call() -> Call:
    number = next(_numbers)
    mail = {
        "from": f"Nanxun Tea <hello@{DOMAIN}>",
        "to": [f"customer-{number}@example.net"],
        "subject": "Spring tea",
        "text": TEXT,
    }
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "idempotency-key": f"bench-{number}",
        "user-agent": "kairos",
    }
    return json.dumps(mail).encode(), headers


async def _client(client: httpx.AsyncClient, calls: object) -> None:
    for content, headers in calls:  # type: ignore[attr-defined]
        answer = await client.post("/emails", content=content, headers=headers)
        if answer.status_code != 200:
            raise AssertionError(answer.status_code)
