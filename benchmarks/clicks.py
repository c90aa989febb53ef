"""Following short links, each click written before the answer, against a FastAPI app that only redirects.

    python -m benchmarks.clicks --port 8001      the bare app, a process of its own

Both are one process behind the same uvicorn settings; the client writes plain HTTP to 32 kept connections, so
that it is not what is measured. Every click is of another message, and a journey that is live waits for
`message.clicked`, so that routers are woken; none runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.findings import Finding, compared, figure
from benchmarks.lab import Lab, apply, opened
from benchmarks.statistics import percentile
from engine.temporal.server import port_near
from tests.integration.processes import processes

FULL = 10_000
AT_ONCE = 32
TARGET = "https://shop.example.com/tea?utm_source=kairos"
AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.42"
PROJECT = {
    "kairos.yaml": "version: 1\n",
    "journeys/catalog.yaml": "",
    "journeys/cart.yaml": """journey: cart
trigger: {manual: true}
steps:
  - {id: hi, message: {template: cart, channels: [sms]}}
  - {id: look, wait: {for_event: message.clicked, up_to: 1d}}
""",
    "templates/cart/sms.text.j2": "https://shop.example.com/tea",
}
_MAKE = (
    """INSERT INTO deliveries (enrolment_id, step, entry_month, id, key, journey, profile_id, state, at,
                               channel, template, sending_at)
        SELECT gen_random_uuid(), 'hi', '2026-11-01', gen_random_uuid(), 'k' || n, 'cart', gen_random_uuid(),
               'accepted', now(), 'sms', 'cart', now() FROM generate_series(1, :count) n""",
    """INSERT INTO message_links (code, kind, enrolment_id, step, entry_month, channel, url, name, expires_at)
        SELECT substr(md5(key), 1, 12), 'link', enrolment_id, step, entry_month, channel, :url, 'offer',
               now() + interval '1 day' FROM deliveries""",
    "ANALYZE",
)


async def run(lab: Lab) -> list[Finding]:
    """Redirects a second, and how long the slowest took."""
    size = lab.sized(FULL, 500)
    ours: list[float] = []
    theirs: list[float] = []
    took: list[float] = []
    bare_took: list[float] = []
    url = await lab.database("clicks")
    ports = port_near(0), port_near(0)
    async with opened(url) as database:
        await apply(database, PROJECT)
        with processes(lab.place("clicks"), url, "127.0.0.1:1") as parts:
            bare = ["benchmarks.clicks", "--port", str(ports[1])]
            await asyncio.to_thread(parts.api(ports[0]).start)
            await asyncio.to_thread(parts.program("bare", bare, "ready").start)
            for number in range(lab.pairs + 1):
                codes = await _links(database, size)
                rate, times = await _followed(ports[0], codes)
                bare_rate, bare_times = await _followed(ports[1], codes)
                await _written(database, size)
                if number:  # the first warms both up
                    ours.append(rate)
                    theirs.append(bare_rate)
                    took += times
                    bare_took += bare_times
    p50, p99 = (1_000 * percentile(took, share) for share in (0.5, 0.99))
    bare_p99 = 1_000 * percentile(bare_took, 0.99)
    return [
        compared(
            "click redirect, the click written before the answer, 32 at a time",
            "a bare FastAPI redirect",
            ours,
            theirs,
            0.3,
            "at least",
            unit="redirects a second",
            notes=[
                f"{size:,} clicks on links of as many messages a run; one process each, one core",
                f"p50 {figure(p50)} ms, p99 {figure(p99)} ms, longest {figure(1_000 * max(took))} ms; "
                f"the bare one's p99 {figure(bare_p99)} ms",
            ],
        )
    ]


async def _links(database: AsyncEngine, count: int) -> list[str]:
    async with database.begin() as connection:
        await connection.execute(sa.text("TRUNCATE deliveries, message_links, events"))
        for statement in _MAKE:
            values = {"count": count, "url": TARGET}
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            await connection.execute(sa.text(statement), used)
        return list((await connection.execute(sa.text("SELECT code FROM message_links"))).scalars())


async def _written(database: AsyncEngine, wanted: int) -> None:
    async with database.connect() as connection:
        counted = sa.text("SELECT count(*) FROM events WHERE name = 'message.clicked'")
        found = (await connection.execute(counted)).scalar_one()
    if found != wanted:
        raise AssertionError(f"{found} clicks are written of {wanted}")


async def _followed(port: int, codes: Sequence[str]) -> tuple[float, list[float]]:
    """Follows each once; redirects a second, and the seconds that each took."""
    waiting = iter(codes)
    took: list[float] = []

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for code in waiting:
            asked = f"GET /r/{code} HTTP/1.1\r\nHost: go.example.com\r\nUser-Agent: {AGENT}\r\n\r\n"
            began = time.perf_counter()
            writer.write(asked.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            took.append(time.perf_counter() - began)
            if not answer.startswith(b"HTTP/1.1 302") or b"content-length: 0" not in answer.lower():
                raise AssertionError(answer.decode("latin-1"))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return len(codes) / (time.perf_counter() - began), took


@contextlib.asynccontextmanager
async def _ready(app: FastAPI) -> AsyncIterator[None]:
    print("ready", flush=True)
    yield


def bare() -> FastAPI:
    """The baseline."""
    app = FastAPI(lifespan=_ready)

    @app.get("/r/{code}")
    async def follow(code: str) -> RedirectResponse:
        return RedirectResponse(TARGET, 302)

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(bare(), port=given.port, log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
