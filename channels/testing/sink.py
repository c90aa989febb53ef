"""A small, fast HTTP server that takes webhooks and keeps a ledger of them.

    python -m channels.testing.sink --port 8099        prints {"url": "http://127.0.0.1:8099"} and serves
    GET  /ledger            the ledger as JSON; `?ids=0` leaves out the list of ids
    POST /behave            {"kind": "throttle", "times": 3, "retry_after": 1}: the next three calls
    POST /reset             empties the ledger

Every other path takes calls. The path itself may ask for trouble, counted per `webhook-id`:
`/throttle?times=2&retry_after=1`, `/fail?status=503&times=1`, `/hang`, `/drop`, `/drop_unread`.

An id counts as taken when the sink has read the whole call and did not refuse it: answered 2xx, but also
`hang` and `drop`, where the caller cannot know. A taken id that comes again is a raw repeat; with another
body it is also `changed`, which no honest sender does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qs, urlsplit

Kind = Literal["ok", "throttle", "fail", "hang", "drop", "drop_unread"]
KINDS: tuple[str, ...] = get_args(Kind)

_DEFAULTS: dict[str, tuple[int, Any]] = {
    "ok": (200, {"ok": True}),
    "throttle": (429, {"error": "slow down"}),
    "fail": (500, {"error": "failing"}),
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How to treat a call. `times` None is for ever."""

    kind: str = "ok"
    times: int | None = None
    status: int = 0
    """0: 200 for `ok`, 429 for `throttle`, 500 for `fail`."""
    retry_after: str | None = None
    """The header's value, seconds or an HTTP date."""
    answer: Any = None
    """JSON to answer with."""


@dataclass(slots=True)
class Call:
    """One call as it was read."""

    id: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    taken: bool


@dataclass(slots=True)
class Ledger:
    requests: int = 0
    taken: int = 0
    refused: int = 0
    changed: int = 0
    ids: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, int] = field(default_factory=dict)

    @property
    def repeats(self) -> int:
        return self.taken - len(self.ids)

    def as_json(self, ids: bool = True) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "requests": self.requests,
            "taken": self.taken,
            "unique": len(self.ids),
            "repeats": self.repeats,
            "refused": self.refused,
            "changed": self.changed,
        }
        if ids:
            summary["ids"] = dict(self.ids)
        return summary


class FakeHttpSink:
    """The server. `async with FakeHttpSink() as sink: … sink.url … sink.ledger.ids`."""

    def __init__(self, *, keep: int = 1000) -> None:
        """`keep`: how many of the last calls stay in `calls` with headers and body."""
        self.ledger = Ledger()
        self.calls: deque[Call] = deque(maxlen=keep)
        self.port = 0
        self.latency = 0.0
        """Seconds until a call is answered; it is taken at once."""
        self._next: deque[Behaviour] = deque()
        self._always = Behaviour()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", port or self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection. `start` brings it back on the same port."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for transport in list(self._open):
            transport.abort()
        if server is not None:
            await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def behave(self, kind: Kind, **fields: Any) -> None:
        """Treat the next `times` calls so; without `times` all calls from now on (`ok` ends that)."""
        self._push(Behaviour(kind, **fields))

    def _push(self, behaviour: Behaviour) -> None:
        if behaviour.times is None:
            self._next.clear()
            self._always = behaviour
        else:
            self._next.extend([behaviour] * behaviour.times)

    def reset(self) -> None:
        self.ledger = Ledger()
        self.calls.clear()
        self._seen.clear()

    def _choose(self, path: str, id: str) -> Behaviour:
        parts = urlsplit(path)
        kind = parts.path.strip("/")
        if kind in KINDS and kind != "ok":
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            self._seen[path, id] += 1
            if "times" in query and self._seen[path, id] > int(query["times"]):
                return Behaviour()
            return Behaviour(kind, status=int(query.get("status", 0)), retry_after=query.get("retry_after"))
        return self._next.popleft() if self._next else self._always

    def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
        """Enter one call into the ledger and say how to treat it."""
        id = headers.get("webhook-id", "")
        behaviour = self._choose(path, id)
        taken = behaviour.kind in ("ok", "hang", "drop")
        ledger = self.ledger
        ledger.requests += 1
        if taken:
            ledger.taken += 1
            ledger.ids[id] += 1
            if ledger.bodies.setdefault(id, hash(body)) != hash(body):
                ledger.changed += 1
        else:
            ledger.refused += 1
        self.calls.append(Call(id, method, path, headers, body, taken))
        return behaviour

    def control(self, method: str, path: str, body: bytes) -> tuple[int, Any] | None:
        """Answer a call to the sink's own addresses; None for all others."""
        place = urlsplit(path)
        if place.path == "/ledger" and method == "GET":
            return 200, self.ledger.as_json(ids=parse_qs(place.query).get("ids") != ["0"])
        if place.path == "/reset" and method == "POST":
            self.reset()
            return 200, {}
        if place.path == "/behave" and method == "POST":
            try:
                behaviour = Behaviour(**json.loads(body))
            except (ValueError, TypeError) as error:
                return 400, {"error": str(error)}
            if behaviour.kind not in KINDS:
                return 400, {"error": f"kind is one of {', '.join(KINDS)}"}
            self._push(behaviour)
            return 200, {}
        return None


class _Connection(asyncio.Protocol):
    """Just enough HTTP/1.1: Content-Length bodies, keep-alive, pipelining."""

    def __init__(self, sink: FakeHttpSink) -> None:
        self.sink = sink
        self.buffer = bytearray()
        self.silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.sink._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sink._open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while not self.silent and not self.transport.is_closing():
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            method, _, rest = first.partition(" ")
            path = rest.partition(" ")[0]
            if urlsplit(path).path == "/drop_unread":
                self.sink.take(method, path, headers, b"")
                self.transport.abort()
                return
            if "transfer-encoding" in headers:
                self.answer(411, {"error": "Content-Length is needed"})
                self.transport.close()
                return
            size = int(headers.get("content-length") or 0)
            if len(self.buffer) < end + 4 + size:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + size])
            del self.buffer[: end + 4 + size]
            self.call(method, path, headers, body)

    def call(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        own = self.sink.control(method, path, body)
        if own is not None:
            self.answer(*own)
            return
        behaviour = self.sink.take(method, path, headers, body)
        match behaviour.kind:
            case "hang":
                self.silent = True
            case "drop" | "drop_unread":
                self.transport.abort()
            case kind:
                status, answer = _DEFAULTS.get(kind, _DEFAULTS["ok"])
                if behaviour.answer is not None:
                    answer = behaviour.answer
                self.answer(behaviour.status or status, answer, behaviour.retry_after)

    def answer(self, status: int, document: Any, retry_after: str | None = None) -> None:
        if self.sink.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self.sink.latency, self._write, status, document, retry_after)
        else:
            self._write(status, document, retry_after)

    def _write(self, status: int, document: Any, retry_after: str | None) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps(document).encode()
        extra = f"retry-after: {retry_after}\r\n" if retry_after is not None else ""
        self.transport.write(
            f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
            f"{extra}content-length: {len(body)}\r\n\r\n".encode("latin-1")
            + body
        )


async def serve(port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    sink = FakeHttpSink(keep=0)
    await sink.start(port)
    print(json.dumps({"url": sink.url}), flush=True)
    await stop.wait()
    await sink.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m channels.testing.sink", description="Takes webhooks.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    asyncio.run(serve(parser.parse_args(sys.argv[1:]).port))


if __name__ == "__main__":
    main()
