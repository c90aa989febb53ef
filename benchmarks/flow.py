"""All parts as operators run them, one process each, and a sink in this one that notes when calls come in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from benchmarks.lab import Counted, Lab, apply, ingest_key, opened
from channels.testing.sink import Behaviour, FakeHttpSink
from engine.temporal.client import connect
from engine.temporal.server import port_near
from tests.integration.processes import Processes, processes

SECRET = "whsec_" + b64encode(b"a secret of the benchmarks").decode()
"""Signs webhooks, for projects that name it."""
Name = Callable[[str, dict[str, Any]], str]
"""What a call is counted as, by its path and JSON body."""


class Sink(FakeHttpSink):
    """Takes every call, and keeps when (`time.time()`) by name."""

    def __init__(self, name: Name) -> None:
        super().__init__(keep=0)
        self.came: dict[str, float] = {}
        self.counted = Counted()
        self._name = name

    def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
        name = self._name(path, json.loads(body or b"{}"))
        if name not in self.came:
            self.came[name] = time.time()
            self.counted.add(name.partition("/")[0])
        return super().take(method, path, headers, body)


@dataclass
class Flow:
    """A running installation."""

    database: AsyncEngine
    client: Client
    http: httpx.AsyncClient
    sink: Sink
    parts: Processes

    async def post(self, path: str, body: Any) -> None:
        answer = await self.http.post(path, json=body)
        if answer.json() != {"success": True}:
            raise AssertionError(f"{answer.status_code}: {answer.text[:300]}")

    async def quiet(self, journey: str | None = None, seconds: float = 300) -> None:
        """Waits until no workflow (of the journey) runs any more that is not meant to wait for long."""
        deadline = time.monotonic() + seconds
        query = "ExecutionStatus = 'Running'"
        if journey is not None:
            query += f" AND KairosJourney = '{journey}'"
        while (await self.client.count_workflows(query)).count:
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:.0f} s for the workflows to end")
            await asyncio.sleep(0.3)


@contextlib.asynccontextmanager
async def flowing(
    lab: Lab, name: str, files: Callable[[str], Mapping[str, str]], counted_as: Name, *, pool: int = 0
) -> AsyncIterator[Flow]:
    """API, router, journeys' worker and the webhooks' send worker, and so many workers of the pool; `files`
    makes the project for a sink."""
    url = await lab.database(name)
    port = port_near(0)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.temporal(name))
        database = await stack.enter_async_context(opened(url))
        sink = await stack.enter_async_context(Sink(counted_as))
        await apply(database, files(sink.url))
        token = await ingest_key(database)
        parts = stack.enter_context(processes(lab.place(name), url, server.address, SECRET=SECRET))
        children = [parts.api(port), parts.router(), parts.journeys(), parts.send("webhook")]
        children += [parts.pool(f"pool-{number}") for number in range(1, pool + 1)]
        for child in children:
            child.start(wait=False)
        for child in children:
            await asyncio.to_thread(child.wait_until_ready)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=(token, ""), timeout=60)
        )
        yield Flow(database, await connect(server.address), http, sink, parts)
