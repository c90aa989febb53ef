"""Who may see the pages: whoever has a key that may read, or anybody on this machine in development.

The key is kept in a cookie that scripts cannot read. Open pages answer only to loopback names, so that a
page on the internet cannot read them through a name of its own that leads here.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from engine.api.body import read_body
from engine.api.problems import Problem
from engine.api.services import services

COOKIE: Final = "kairos_key"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class KeyNeeded(Exception):
    """There is no key that may read; the way to the page is through the form."""


async def let_in(request: Request) -> None:
    """Raises `KeyNeeded`, or a problem, for whoever may not see the pages."""
    found = services(request)
    if found.open_pages:
        if request.url.hostname not in _LOOPBACK:
            raise Problem(421, "wrong-host", "these pages answer to 127.0.0.1 and localhost only")
        return
    try:
        await found.keys.require(request.cookies.get(COOKIE), "read")
    except Problem as problem:
        raise KeyNeeded from problem


def to_form(request: Request) -> Response:
    """To the form that asks for a key, and back here afterwards."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)


async def enter(request: Request) -> Response:
    """Takes the form: a key that may read is kept in a cookie.

    Raises:
        Problem: it is no such key.
    """
    given = parse_qs((await read_body(request)).decode("utf-8", "replace"))
    token = given.get("key", [""])[0].strip()
    await services(request).keys.require(token, "read")
    answer = RedirectResponse(_inside(given.get("next", [""])[0]), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure, path="/")
    return answer


def _inside(path: str) -> str:
    """A path of ours: a form must not send people to another site."""
    inside = path.startswith("/") and path[1:2] not in ("/", "\\") and "\n" not in path and "\r" not in path
    return path if inside else "/outbox"
