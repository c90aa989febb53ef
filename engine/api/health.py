"""`/healthz` for load balancers and people, `/metrics` for Prometheus."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from engine.api import examples, problems
from engine.api.metrics import CONTENT_TYPE
from engine.api.services import services
from engine.store import health

router = APIRouter(tags=["health"])

MIGRATION_NEEDED: Final = "the database has no tables of this version; run `kairos db upgrade`"


_HEALTH: Final[dict[str, Any]] = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["status", "database"],
            "properties": {
                "status": {"enum": ["ok", "unhealthy"]},
                "database": {"type": "string", "description": "`ok`, or what is wrong with it."},
                "revision": {"type": ["string", "null"]},
                "oldest_unrouted_seconds": {"type": ["number", "null"]},
                "oldest_open_start_seconds": {"type": ["number", "null"]},
            },
        },
        "example": {"status": "ok", "database": "ok", "oldest_unrouted_seconds": 0.4},
    }
}


@router.get(
    "/healthz",
    summary="Whether this server can work",
    response_model=None,
    responses={
        200: {"description": "It can.", "content": _HEALTH},
        503: {"description": "It cannot.", "content": _HEALTH},
    },
)
async def healthz(request: Request) -> Response:
    """200 if the database is there and up to date, else 503. Ages are seconds of wall time."""
    try:
        standing = await health.look(services(request).database)
    except Exception as error:
        problem = problems.unforeseen(error)
        return JSONResponse({"status": "unhealthy", "database": problem.code}, 503)
    content: dict[str, Any] = {
        "status": "ok" if standing.migrated else "unhealthy",
        "database": "ok" if standing.migrated else MIGRATION_NEEDED,
        "revision": standing.revision,
        "oldest_unrouted_seconds": standing.oldest_unrouted,
        "oldest_open_start_seconds": standing.oldest_start,
    }
    return JSONResponse(content, 200 if standing.migrated else 503)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={503: examples.UNREACHABLE},
)
async def metrics(request: Request) -> Response:
    """In Prometheus' text format. Counts of tables may be a few seconds old."""
    found = services(request)
    return Response(await found.metrics.text(found.database), media_type=CONTENT_TYPE)
