"""A sink that costs as little as Python allows: it reads a call to its end, counts it, and says 200.

    python -m benchmarks.pool_sink --port 20001
    GET /counted        {"calls": 3, "first": 1.5, "last": 2.5}, instants as `time.time()`; begins anew

Every other call is taken, whatever it is. `Content-Length` bodies and keep-alive only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Count:
    """How many calls came, and when."""

    def __init__(self) -> None:
        self.calls = 0
        self.first = self.last = 0.0

    def take(self) -> None:
        self.last = time.time()
        if not self.calls:
            self.first = self.last
        self.calls += 1

    def told(self) -> bytes:
        """As an answer; begins anew."""
        body = json.dumps({"calls": self.calls, "first": self.first, "last": self.last}).encode()
        self.calls, self.first, self.last = 0, 0.0, 0.0
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Connection(asyncio.Protocol):
    def __init__(self, count: Count) -> None:
        self._count = count
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        read = self._read + data if self._read else data
        while (end := read.find(_END)) >= 0:
            whole = end + len(_END) + _length(read[:end])
            if len(read) < whole:
                break
            if read.startswith(b"GET /counted "):
                self._transport.write(self._count.told())
            else:
                self._count.take()
                self._transport.write(_OK)
            read = read[whole:]
        self._read = read


def _length(head: bytes) -> int:
    place = head.lower().find(_LENGTH)
    return int(head[place + len(_LENGTH) :].split(b"\r\n", 1)[0]) if place >= 0 else 0


async def serve(port: int) -> None:
    """Serves until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    count = Count()
    await loop.create_server(lambda: Connection(count), "127.0.0.1", port, backlog=1_024)
    print("sink: ready", flush=True)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_sink", description="Takes every call.")
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
    os._exit(0)


if __name__ == "__main__":
    main()
