"""Addresses that messages lead to: `/r/CODE` for links, `/o/CODE.gif` for opens. They need no key.

A code is looked up and its click is written before the answer goes out; nobody is led anywhere but where a
message of ours said. Wrong codes get a friendly page that tells nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request, Response

from engine.api.problems import Problem
from engine.customers.link_tokens import LinkKey
from engine.delivery.linking import CODE_LENGTH
from engine.ingest.clicking import Click, Clicking
from engine.ingest.gathering import Gathering
from engine.store.database import is_outage
from engine.store.message_links import Kind, Target
from engine.web import public_pages
from engine.web.visitors import WrongTries, machine_of

router = APIRouter(include_in_schema=False)

_CODE: Final = re.compile(rf"[0-9A-Za-z]{{{CODE_LENGTH}}}")
_PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_NOT_KEPT: Final = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
}
_IN_ADDRESSES: Final = "%/:=&?~#+!$,;'@()*[]"

Route = Callable[..., Awaitable[Response]]


class Public:
    """What the public pages work with, one set an app."""

    def __init__(self, app: FastAPI) -> None:
        database = app.state.services.database
        self.key = LinkKey()
        self.clicks = Gathering[Click, Target | None](Clicking(database).keep)
        self.wrong = WrongTries()


def public(request: Request) -> Public:
    found: Public = request.app.state.public
    return found


def for_people(route: Route) -> Route:
    """A page in place of a problem: whoever clicks a link has a browser."""

    @wraps(route)
    async def friendly(request: Request, **values: Any) -> Response:
        try:
            return await route(request, **values)
        except Problem as problem:
            return public_pages.problem(request, problem.status)
        except Exception as error:
            if not is_outage(error):
                raise
            return public_pages.problem(request, 503, {"Retry-After": "5"})

    return friendly


def wrong(request: Request) -> Response:
    """The answer to a code or token that is not ours."""
    if public(request).wrong.too_many(request):
        return public_pages.problem(request, 429, {"Retry-After": "60"})
    return public_pages.problem(request, 404)


async def _led(request: Request, code: str, kind: Kind) -> Target | None:
    if _CODE.fullmatch(code) is None:
        return None
    machine = machine_of(request.headers)
    counted = request.method != "HEAD"
    click = Click(code, datetime.now(UTC), kind, machine, counted, proxy=machine is not None)
    # In two groups: while one waits for the database, the other is made ready. A link is always in the same.
    return await public(request).clicks.accept(str(ord(code[-1]) % 2), click)


@router.api_route("/r/{code}", methods=["GET", "HEAD"])
@for_people
async def follow(request: Request, code: str) -> Response:
    target = await _led(request, code, "link")
    if target is None:
        return wrong(request)
    if target.expired:
        return public_pages.problem(request, 410)
    return Response(status_code=302, headers={"Location": quote(target.url, safe=_IN_ADDRESSES), **_NOT_KEPT})


@router.api_route("/o/{code}.gif", methods=["GET", "HEAD"])
@for_people
async def opened(request: Request, code: str) -> Response:
    # A picture in any case: what a mail program shows in place of a missing one would be seen.
    if await _led(request, code, "open") is None:
        public(request).wrong.too_many(request)
    return Response(_PIXEL, media_type="image/gif", headers=_NOT_KEPT)
