"""The pages: kept messages, an enrolment with its trace, journeys with their diagrams."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from engine import diagram
from engine.api import operations, running, shapes
from engine.api.problems import Problem
from engine.api.services import services
from engine.content.shown import Wanted
from engine.core.codec import plan_from_json
from engine.store import outbox, plans
from engine.web import entrance, preferences, previews, public
from engine.web.public import Public
from engine.web.views import view_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

router = APIRouter(include_in_schema=False)

PAGE_SIZE: Final = 25
_LARGEST: Final = 2**63 - 1

# Frames inherit this, so a message can neither run a script nor load a picture that tells it was opened.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Page = Callable[..., Awaitable[Response]]
Filter = Annotated[str, Query(max_length=200)]


def add_pages(app: FastAPI) -> None:
    """Adds the pages to an app of `engine.api`: those behind a key, and those that messages lead to."""
    app.include_router(router)
    app.state.public = Public(app)
    app.include_router(preferences.router)
    app.include_router(public.router)
    # Routes are tried one after another, and no address is asked for as often as that of a link.
    app.router.routes.insert(0, app.router.routes.pop())


def _instant(value: datetime | None) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value is not None else "–"


def _worded(text: str) -> Markup:
    """Names between backticks as code."""
    parts = [
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


_templates = Environment(
    loader=PackageLoader("engine.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["combined"] = lambda one, other: {**one, **other}
_templates.filters["instant"] = _instant
_templates.filters["worded"] = _worded


def _page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    text = _templates.get_template(template).render(
        temporal_ui=services(request).temporal_ui, path=request.url.path, **values
    )
    return HTMLResponse(text, status, _HEADERS)


def _guarded(page: Page) -> Page:
    """Lets in whoever may see the page, and makes a page of a problem."""

    @wraps(page)
    async def guarded(request: Request, **values: Any) -> Response:
        try:
            await entrance.let_in(request)
            return await page(request, **values)
        except entrance.KeyNeeded:
            return entrance.to_form(request)
        except Problem as problem:
            title = HTTPStatus(problem.status).phrase
            return _page(request, "problem.html", problem.status, title=title, detail=problem.detail)

    return guarded


@router.get("/")
async def home(request: Request) -> Response:
    return RedirectResponse("/outbox", 303)


@router.get("/login")
async def login_form(request: Request, next: Filter = "/outbox") -> Response:
    return _page(request, "login.html", next=next, mistake=None)


@router.post("/login")
async def login(request: Request) -> Response:
    try:
        return await entrance.enter(request)
    except Problem as problem:
        return _page(request, "login.html", problem.status, next="/outbox", mistake=problem.detail)


@router.get("/outbox")
@_guarded
async def show_outbox(
    request: Request,
    channel: Filter = "",
    template: Filter = "",
    search: Filter = "",
    before: Annotated[int | None, Query(ge=0, le=_LARGEST)] = None,
) -> Response:
    wanted = {"channel": channel, "template": template, "search": search.strip()}
    asked = {name: text.replace("\x00", "") or None for name, text in wanted.items()}
    async with services(request).database.connect() as connection:
        found = await outbox.find(connection, **asked, limit=PAGE_SIZE + 1, before=before)
        channels, templates = await outbox.facets(connection)
    older = found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None
    return _page(
        request,
        "outbox.html",
        messages=[view_of(message) for message in found[:PAGE_SIZE]],
        channels=channels,
        templates=templates,
        wanted=wanted,
        older=older,
        first=before is None,
    )


@router.get("/enrolments/{enrolment_id}")
@_guarded
async def show_enrolment(request: Request, enrolment_id: UUID) -> Response:
    found = services(request)
    async with found.database.connect() as connection:
        enrolment = await running.in_full(connection, str(enrolment_id), found)
        picture = await _picture(connection, enrolment.digest)
        sent = await outbox.find(connection, enrolment_id=str(enrolment_id), limit=100)
    return _page(
        request,
        "enrolment.html",
        enrolment=enrolment,
        picture=picture,
        messages=[view_of(message) for message in reversed(sent)],
    )


@router.get("/journeys")
@_guarded
async def show_journeys(request: Request) -> Response:
    async with services(request).database.connect() as connection:
        listed = await operations.overview(connection)
    return _page(request, "journeys.html", journeys=listed)


@router.get("/journeys/{name}")
@_guarded
async def show_journey(request: Request, name: shapes.Name) -> Response:
    async with services(request).database.connect() as connection:
        journey = await operations.in_full(connection, name)
        picture = await _picture(connection, journey.live_digest)
        latest = await running.latest(connection, name, 20)
    return _page(request, "journey.html", journey=journey, picture=picture, latest=latest)


@router.get("/preview")
@_guarded
async def show_messages(request: Request) -> Response:
    async with services(request).database.connect() as connection:
        listed = await previews.messages_of(connection)
    return _page(request, "previews.html", messages=listed)


@router.get("/preview/{message}")
@_guarded
async def show_preview(
    request: Request,
    message: Annotated[str, Path(max_length=200)],
    channel: Filter = "",
    locale: Filter = "",
    variant: Filter = "",
    customer: Filter = "",
    width: Filter = "desktop",
) -> Response:
    asked = {"channel": channel, "locale": locale, "variant": variant, "customer": customer.strip()}
    clean = {name: text.replace("\x00", "") for name, text in asked.items()}
    wanted = Wanted(clean["channel"] or None, clean["locale"].strip() or None, clean["variant"] or None)
    async with services(request).database.connect() as connection:
        page = await previews.preview_page(connection, message, wanted, clean["customer"])
    width = width if width in previews.WIDTHS else "desktop"
    asked = {**clean, "width": width}
    return _page(request, "preview.html", page=page, widths=previews.WIDTHS, width=width, asked=asked)


async def _picture(connection: AsyncConnection, digest: str | None) -> str | None:
    """The diagram of a plan as an address of data: as a picture, nothing inside it can run."""
    stored = await plans.by_digest(connection, [digest] if digest else [])
    if digest is None or digest not in stored:
        return None
    drawn = diagram.svg(plan_from_json(stored[digest]))
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()
