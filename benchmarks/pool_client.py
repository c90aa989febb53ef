"""HTTP clients alone, in a process of their own: so many calls, one after the other on each connection.

    python -m benchmarks.pool_client --kind httpx --url http://127.0.0.1:20001/m --connections 50

Reads how many calls to make from its standard input, a number a line, makes them and says "done". `raw` is
no client at all: ready-made bytes on sockets, to see what the sink can take.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from tests.integration.processes import ROOT

KINDS = ("httpx", "aiohttp", "raw")
Call = Callable[[], Awaitable[None]]
BODY = b'{"text": "Hello Fatima, the first tea of spring has come in", "tea": "Longjing"}'
HEADERS = {
    "webhook-id": "0199d3a5-6f0a-5c67-9d52-6b6169726f73",
    "webhook-timestamp": "1767225600",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "content-type": "application/json",
    "user-agent": "kairos",
}
"""As large as ours; made once."""


@contextlib.asynccontextmanager
async def _httpx(url: str, connections: int) -> AsyncIterator[Sequence[Call]]:
    import httpx

    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits, timeout=10) as client:

        async def call() -> None:
            answer = await client.post(url, content=BODY, headers=HEADERS)
            if answer.status_code != 200:
                raise AssertionError(answer.status_code)

        yield [call] * connections


@contextlib.asynccontextmanager
async def _aiohttp(url: str, connections: int) -> AsyncIterator[Sequence[Call]]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=connections)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:

        async def call() -> None:
            async with client.post(url, data=BODY, headers=HEADERS) as answer:
                await answer.read()
                if answer.status != 200:
                    raise AssertionError(answer.status)

        yield [call] * connections


@contextlib.asynccontextmanager
async def _raw(url: str, connections: int) -> AsyncIterator[Sequence[Call]]:
    at = urlsplit(url)
    lines = [f"POST {at.path} HTTP/1.1", f"host: {at.netloc}", f"content-length: {len(BODY)}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + BODY
    sockets = [await asyncio.open_connection(at.hostname, at.port) for _ in range(connections)]

    def on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call:
        async def call() -> None:
            writer.write(request)
            # Its answer is short and comes in one piece.
            answer = await reader.read(65_536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(answer[:40])

        return call

    try:
        yield [on(*socket) for socket in sockets]
    finally:
        for _, writer in sockets:
            writer.close()


_CLIENTS = {"httpx": _httpx, "aiohttp": _aiohttp, "raw": _raw}


async def _serve(kind: str, url: str, connections: int) -> None:
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async with _CLIENTS[kind](url, connections) as calls:
        print("client: ready", flush=True)
        while line := await lines.readline():
            numbers = iter(range(int(line)))

            async def work(call: Call, numbers: object = numbers) -> None:
                for _ in numbers:  # type: ignore[attr-defined]
                    await call()

            await asyncio.gather(*(work(call) for call in calls))
            print("done", flush=True)


# --- from the benchmark's side --------------------------------------------------------------------------


class Client:
    """One process that makes calls when it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def rate(self, count: int) -> float:
        """Calls a second, of so many."""
        assert self._process.stdin is not None
        began = time.perf_counter()
        self._process.stdin.write(f"{count}\n".encode())
        await self._heard(b"done")
        return count / (time.perf_counter() - began)

    async def _heard(self, text: bytes) -> None:
        assert self._process.stdout is not None
        heard = await self._process.stdout.readline()
        if heard.strip() != text:
            raise AssertionError(f"a client was to say {text.decode()}, and said {heard.decode()!r}")


@contextlib.asynccontextmanager
async def client(kind: str, url: str, connections: int) -> AsyncIterator[Client]:
    """A process with this client, ready to call."""
    words = ["-m", "benchmarks.pool_client", "--kind", kind, "--url", url, "--connections", str(connections)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        found = Client(process)
        await found._heard(b"client: ready")
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_client", description="Makes calls.")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, default=50)
    given = parser.parse_args()
    asyncio.run(_serve(given.kind, given.url, given.connections))
    os._exit(0)


if __name__ == "__main__":
    main()
