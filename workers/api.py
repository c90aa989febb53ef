"""The API process: the app on a database, served by uvicorn until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import uvicorn

from engine.api import create_app
from engine.web import add_pages
from workers.garbage import collect_less
from workers.hearing import AppliedHearing

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

log = logging.getLogger("kairos.api")

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
STOP_SECONDS: Final = 10
"""How long requests under way are waited for at a stop."""


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to whoever runs several parts in one process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PortTaken(Exception):
    """The address cannot be listened on; the message says what to do."""


async def run_api(
    database: AsyncEngine,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    temporal_ui: str | None = None,
    open_pages: bool = False,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until `stop` is set or the task is cancelled; requests under way are finished first.

    Signals are left to the caller. Pages are open only where `open_pages` says so and `host` is loopback.

    Args:
        port: 0 takes a free one.
        ready: told the address once requests are taken.

    Raises:
        PortTaken: the address cannot be listened on.
    """
    collect_less()
    hearing = AppliedHearing(database)
    app = create_app(
        database,
        temporal_ui=temporal_ui,
        open_pages=open_pages and host in LOOPBACK,
        hearing=hearing,
    )
    add_pages(app)
    config = uvicorn.Config(
        app,
        host,
        port,
        lifespan="off",
        log_config=None,
        access_log=False,  # ours names routes instead of paths
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Server(config)
    try:
        listening = bound(host, port)
    except OSError as error:
        raise PortTaken(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another with --port"
        ) from error
    shown, taken = listening.getsockname()[:2]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await _either(serving, server.listening)
        if ready is not None and not serving.done():
            ready(_address(shown, taken))
        await _either(serving, stop or asyncio.Event())
    finally:
        server.should_exit = True
        await asyncio.shield(serving)
        listening.close()
        await hearing.close()


def bound(host: str, port: int) -> socket.socket:
    """A socket for the API, bound but not listening yet.

    Raises:
        OSError: the address is taken, or none of ours.
    """
    # uvicorn's own binding ends the process where the address is taken.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named. Without it the body of every answer waits
    # until the client acknowledges the headers, which it puts off for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _address(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


async def _either(serving: asyncio.Task[None], event: asyncio.Event) -> None:
    """Waits until the server has ended or the event is set; what ended the server is raised."""
    set_ = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({serving, set_}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        set_.cancel()
    if serving.done():
        serving.result()
