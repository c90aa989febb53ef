"""Around every request: latency, an access line, CORS for web pages that send events, unforeseen errors."""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.api import problems
from engine.api.metrics import Metrics

log = logging.getLogger("kairos.access")

_ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
_PREFLIGHT: Final = (
    _ANY_ORIGIN,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Content-Encoding"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
)


class Observe:
    """Pure ASGI, since it is in the way of every event."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        intake = scope["path"].startswith("/v1/")
        if intake and scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
            return await send({"type": "http.response.body", "body": b""})
        began, status, started = time.perf_counter(), 500, False

        async def watch(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                if intake:
                    message["headers"] = [*message.get("headers", ()), _ANY_ORIGIN]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            problem = problems.unforeseen(error)
            if started:
                raise  # too late for another answer: the server cuts the connection
            await problems.respond(problem, scope["path"])(scope, receive, watch)
        finally:
            took = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "other"
            # The route, not the path: paths and queries may hold identifiers of customers.
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.latency.labels(method, route, str(status)).observe(took)
            log.info("%s %s %d %.1f ms", method, route, status, took * 1000)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
