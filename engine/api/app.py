"""The app: all routes on one set of services."""

from __future__ import annotations

from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from engine.api import (
    consents,
    crowds,
    customers,
    health,
    identities,
    intake,
    jobs,
    messages,
    operations,
    problems,
    querying,
    running,
    segments,
    shapes,
)
from engine.api.access import KeyRing
from engine.api.callbacks import Callbacks
from engine.api.hearing import Hearing
from engine.api.identity_shapes import DecideRequest
from engine.api.job_shapes import ExportRequest, QueryRequest
from engine.api.metrics import Metrics
from engine.api.observe import Observe
from engine.api.services import Services
from engine.ingest.gathering import Gathering
from engine.ingest.intake import accept_live

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

DESCRIPTION = """\
Events come in at `/v1`, in the shape that Segment's client libraries send. What runs is seen and steered
at `/api/v1`. Every error is problem+json (RFC 9457). Keys are made by `kairos keys`.
"""


def create_app(
    database: AsyncEngine,
    *,
    temporal_ui: str | None = None,
    open_pages: bool = False,
    hearing: Hearing | None = None,
) -> FastAPI:
    """The app on an open, migrated database; whoever opened it closes it.

    Args:
        temporal_ui: address of Temporal's web interface, for links to it.
        open_pages: pages need no key. Only for a server that nobody else can reach.
        hearing: reads calls of providers; without it none are taken.
    """
    app = FastAPI(
        title="Kairos",
        version=_version(),
        description=DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    metrics = Metrics()
    gathering = Gathering(partial(accept_live, database))
    app.state.services = Services(
        database, KeyRing(database), metrics, gathering, temporal_ui, open_pages, hearing
    )
    problems.install(app)
    app.include_router(intake.router)
    for router in (
        customers.router,
        customers.control_router,
        customers.event_router,
        consents.router,
        consents.control_router,
        identities.router,
        identities.control_router,
        running.router,
        running.control_router,
        running.delivery_router,
        messages.router,
        operations.router,
        operations.control_router,
        crowds.router,
        crowds.control_router,
        segments.router,
        segments.control_router,
        querying.router,
        jobs.router,
    ):
        app.include_router(router)
    app.include_router(health.router)
    app.add_middleware(Callbacks, services=app.state.services)
    app.add_middleware(Observe, metrics=metrics)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Adds to OpenAPI the shapes of the bodies that are read by hand."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        described = generated()
        known = described["components"]["schemas"]
        own = (shapes.EnterRequest, shapes.CrowdRequest, shapes.MembersRequest, shapes.TagsRequest)
        for body in (*own, DecideRequest, ExportRequest, QueryRequest):
            shape = body.model_json_schema(ref_template="#/components/schemas/{model}")
            known.update(shape.pop("$defs", {}))
            known[body.__name__] = shape
        return described

    app.openapi = openapi  # type: ignore[method-assign]


def _version() -> str:
    try:
        return version("kairos-journeys")
    except PackageNotFoundError:
        return "0"
