"""Calls of providers: verified by the adapter, written, and only then answered. Nothing else is done here.

The secret in the address says that somebody knows it, the adapter's check that it is the provider. An answer
of the adapter's tells the provider not to tell again, so it goes out only once what it told is committed.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from channels.inbound import Call, Forged
from engine.api.problems import BODY_READ, Problem
from engine.api.services import services
from engine.delivery.told import rows_of
from engine.store import heard

log = logging.getLogger("kairos.callbacks")

BODY_LIMIT: Final = 1 << 20
"""Bytes of one call. The largest batches of receipts have a tenth of that."""
READING_SECONDS: Final = 10.0


async def called(request: Request) -> Response:
    """Takes in one call of a provider."""
    request.scope["route"] = route  # what metrics and the log name: the path holds a secret
    found = services(request)
    ear = None
    if found.hearing is not None:
        ear = await found.hearing.find(request.path_params["adapter"], request.path_params["secret"])
    if ear is None:
        raise HTTPException(404)
    count = found.metrics.callbacks.labels
    if ear.hear is None:
        count(ear.channel, "unready").inc()
        raise Problem(503, "not-ready", "this channel cannot take calls just now; see the server's log")
    call = Call(
        request.method,
        dict(request.query_params),
        dict(request.headers),
        await _body(request),
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
    await heard.keep(found.database, ear.channel, ear.adapter, rows)
    count(ear.channel, "heard" if rows else "empty").inc()
    return Response(told.reply.body, told.reply.status, media_type=told.reply.media_type)


async def _body(request: Request) -> bytes:
    """The body as it came: signatures are over its bytes.

    Raises:
        Problem: too large, too slow, or packed.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unknown-encoding", "Content-Encoding: calls are taken as they are")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > BODY_LIMIT:
        raise _too_large()
    parts, size = [], 0
    try:
        async with asyncio.timeout(READING_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > BODY_LIMIT:
                    raise _too_large()
                parts.append(chunk)
    except TimeoutError:
        raise Problem(
            408, "too-slow", f"the body did not come within {READING_SECONDS:.0f} seconds"
        ) from None
    request.scope[BODY_READ] = True
    return b"".join(parts)


def _too_large() -> Problem:
    return Problem(413, "too-large", f"the body is larger than {BODY_LIMIT >> 10} KB")


route = Route("/callbacks/{adapter}/{secret}", called, methods=["GET", "POST"])
