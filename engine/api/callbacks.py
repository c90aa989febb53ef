"""Calls of providers: verified by the adapter, written, and only then answered. Nothing else is done here.

The secret in the address says that somebody knows it, the adapter's check that it is the provider. An answer
of the adapter's tells the provider not to tell again, so it goes out only once what it told is committed.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from channels.inbound import Call, Forged
from engine.api.body import read_body
from engine.api.hearing import Ear
from engine.api.problems import Problem, nowhere, respond
from engine.api.services import Services
from engine.delivery.told import rows_of
from engine.store import heard

log = logging.getLogger("kairos.callbacks")

BODY_LIMIT: Final = 1 << 20
"""Bytes of one call. The largest batches of receipts have a tenth of that."""
READING_SECONDS: Final = 10.0
METHODS: Final = ("GET", "POST")


class _Named:
    """What metrics and the log name instead of the path, which holds a secret."""

    path = "/callbacks/{adapter}/{secret}"


_ROUTE: Final = _Named()


class Callbacks:
    """Pure ASGI in front of all routes, since receipts come in floods."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._keeper = heard.Keeper(services.database)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/callbacks/"):
            return await self._app(scope, receive, send)
        scope["route"] = _ROUTE
        try:
            answer = await self._called(Request(scope, receive))
        except Problem as problem:
            answer = respond(problem, _ROUTE.path)
        except ClientDisconnect:
            answer = respond(Problem(400, "incomplete", "the connection ended before the body did"), "")
        await answer(scope, receive, send)

    async def _called(self, request: Request) -> Response:
        """Takes in one call of a provider."""
        ear = await self._ear(request.scope["path"])
        if request.method not in METHODS:
            allowed = ", ".join(METHODS)
            raise Problem(405, "method-not-allowed", f"calls are {allowed}", headers={"Allow": allowed})
        count = self._services.metrics.callbacks.labels
        if ear.hear is None:
            count(ear.channel, "unready").inc()
            raise Problem(503, "not-ready", "this channel cannot take calls just now; see the server's log")
        call = Call(
            request.method,
            dict(request.query_params),
            dict(request.headers),
            # Signatures are over its bytes.
            await read_body(request, limit=BODY_LIMIT, seconds=READING_SECONDS, packed=False),
            datetime.now(UTC),
        )
        try:
            told = await ear.hear(call)
        except Forged as forged:
            count(ear.channel, "forged").inc()
            log.warning("%s: a call was refused: %s", ear.channel, forged)
            raise Problem(403, "refused", "this call is not the provider's") from None
        except Exception as fault:
            count(ear.channel, "failed").inc()
            # Its text may hold what a person wrote.
            log.error("%s: %s cannot read a call: %s", ear.channel, ear.adapter, type(fault).__name__)
            raise Problem(500, "unexpected", "a mistake of ours; please call again") from None
        rows = rows_of(told)
        await self._keeper.keep(ear.channel, ear.adapter, rows)
        count(ear.channel, "heard" if rows else "empty").inc()
        return Response(told.reply.body, told.reply.status, media_type=told.reply.media_type)

    async def _ear(self, path: str) -> Ear:
        hearing, parts = self._services.hearing, path.split("/")
        ear = None
        if hearing is not None and len(parts) == 4:
            ear = await hearing.find(parts[2], parts[3])
        if ear is None:
            raise nowhere()
        return ear
