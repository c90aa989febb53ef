"""A crowd to a local HTTP sink, one request a message, against HTTP clients alone.

Ours is one worker process; the client is one process with as many connections that does nothing but call the
same sink with a body of the same size, its headers ready-made. The sink is a process of its own, and its
limit is measured too: bytes on sockets, no client at all.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from benchmarks.findings import Finding, compared, figure, single
from benchmarks.lab import Lab
from benchmarks.pool import Crowd, crowding, project
from benchmarks.pool_client import client
from benchmarks.statistics import interval
from engine.temporal.server import port_near

FULL = 50_000
PAIR = 2_000
CONNECTIONS = 50
SHARE = 0.7
WARM = 300


async def run(lab: Lab) -> list[Finding]:
    """The rate of a crowd by HTTP, that of `httpx`, of `aiohttp`, and of the sink."""
    size, pair = lab.sized(FULL, 500), lab.sized(PAIR, 200)
    port = port_near(0)
    url = f"http://127.0.0.1:{port}/message"
    settings = f"{{url: '{url}', secret: '${{SECRET}}', connections: {CONNECTIONS}}}"
    ours: list[float] = []
    theirs: list[float] = []
    quicker: list[float] = []
    files = project(channel="webhook", settings=f"{{adapter: webhook, settings: {settings}}}")
    async with (
        crowding(lab, "http", files, max(size, pair), "webhook") as crowd,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as asking,
    ):
        sink = crowd.parts.program("sink", ["benchmarks.pool_sink", "--port", str(port)], "sink: ready")
        await asyncio.to_thread(sink.start)
        await crowd.staff(1)
        async with (
            client("httpx", url, CONNECTIONS) as plain,
            client("aiohttp", url, CONNECTIONS) as other,
            client("raw", url, CONNECTIONS) as raw,
        ):
            await crowd.play(WARM)
            for one in (plain, other, raw):
                await one.rate(WARM)
            for number in range(lab.pairs):
                ours.append((await _ours(crowd, asking, pair)).rate)
                both = [(plain, theirs), (other, quicker)]
                for one, rates in both if number % 2 else reversed(both):
                    rates.append(await one.rate(pair))
            limit = await raw.rate(10 * pair)
            alone = await plain.rate(size)
            large = await _ours(crowd, asking, size)
    ratio = interval([a / b for a, b in zip(quicker, theirs, strict=True)])
    return [
        compared(
            "a crowd by HTTP, one request a message",
            f"`httpx` alone in one process, as many connections ({CONNECTIONS})",
            ours,
            theirs,
            SHARE,
            "at least",
            unit="messages a second",
            notes=[
                f"crowds of {pair:,} in turns, from `enter` to the last settled row, one worker process",
                f"`aiohttp` alone is {ratio.median:.2f} times as fast as `httpx` alone "
                f"({ratio.low:.2f} to {ratio.high:.2f}); medians {figure(interval(quicker).median)} "
                f"against {figure(interval(theirs).median)} a second",
                f"the sink takes {figure(limit)} calls a second and more: bytes on sockets from one process",
            ],
        ),
        single(
            f"a crowd of {size:,} by HTTP, against `httpx` alone with as many calls; one run each",
            large.rate / alone,
            SHARE,
            "at least",
            unit="of its rate",
            notes=[
                f"{figure(large.rate)} against {figure(alone)} a second; ours from first call at the sink "
                f"to last {figure(large.seen)} a second; {large.repeats} calls were made twice"
            ],
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Played:
    """Messages a second, from `enter` to the last settled row; and as the sink saw them, from the first call
    to the last. `repeats`: calls made again with the same id, as nobody knew what became of the first."""

    rate: float
    seen: float
    repeats: int


async def _ours(crowd: Crowd, asking: httpx.AsyncClient, size: int) -> _Played:
    await asking.get("/counted")
    took = await crowd.play(size)
    counted = (await asking.get("/counted")).json()
    if counted["calls"] < size:
        raise AssertionError(f"{size} were sent, {counted['calls']} came")
    return _Played(size / took, size / (counted["last"] - counted["first"]), counted["calls"] - size)
