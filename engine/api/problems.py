"""Errors of the API: problem details as JSON (RFC 9457), each with a code that programs can rely on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from engine.store.database import is_outage

log = logging.getLogger("kairos.api")

BODY_READ: Final = "kairos.body_read"
"""Set in a request's scope once its body was read to the end."""

_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 16 << 20


class Problem(Exception):
    """An answer that is an error.

    `code` is stable and for programs, `detail` for people: what, where, what was expected, what to do.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


class ProblemResponse(JSONResponse):
    """problem+json, that a client also gets to read when it is still sending its body.

    Closing a connection on a sender makes its system throw the answer away. So what is left of the body
    is taken and dropped for a moment after the answer went out (what nginx calls a lingering close).
    """

    media_type = "application/problem+json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(BODY_READ) or not _announces_body(scope):
            await super().__call__(scope, receive, send)
            return
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await _drop_rest(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _announces_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def _drop_rest(receive: Receive) -> None:
    deadline, dropped = time.monotonic() + _LINGER_SECONDS, 0
    try:
        while dropped < _LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
            message = await asyncio.wait_for(receive(), left)
            if message["type"] != "http.request" or not message.get("more_body"):
                return
            dropped += len(message.get("body", b""))
    except TimeoutError:
        return


def respond(problem: Problem, path: str) -> ProblemResponse:
    """The problem as an answer. On intake paths it also has `message`, which Segment's clients print."""
    content: dict[str, Any] = {
        "type": f"urn:kairos:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        **problem.extra,
    }
    if path.startswith("/v1/"):
        content["message"] = problem.detail
    return ProblemResponse(content, problem.status, problem.headers)


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    @app.exception_handler(Problem)
    async def own(request: Request, problem: Problem) -> ProblemResponse:
        return respond(problem, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> ProblemResponse:
        return respond(invalid(error.errors()), request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> ProblemResponse:
        if error.status_code == 404:
            return respond(nowhere(), request.url.path)
        said = {
            405: ("method-not-allowed", "this address does not take that method; see the Allow header"),
        }
        code, detail = said.get(error.status_code, ("http-error", str(error.detail)))
        return respond(Problem(error.status_code, code, detail, headers=error.headers), request.url.path)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> ProblemResponse:
        return respond(
            Problem(400, "incomplete", "the connection ended before the body did"), request.url.path
        )


def nowhere() -> Problem:
    """The problem of an address at which there is nothing."""
    return Problem(404, "not-found", "there is nothing at this address; see /docs for what there is")


def invalid(errors: Sequence[Any], *where: str) -> Problem:
    """The problem for what Pydantic found. Values are left out: they may be personal."""
    mistakes = [
        {"where": ".".join((*where, *(str(part) for part in each["loc"]))), "what": each["msg"]}
        for each in errors
    ]
    said = "; ".join(f"{each['where']}: {each['what']}" for each in mistakes[:5])
    return Problem(422, "invalid", said, errors=mistakes[:50])


def unforeseen(error: Exception) -> Problem:
    """The problem for an exception that nobody foresaw; a database that is away is told apart."""
    if is_outage(error):
        log.warning("the database cannot be reached: %s", type(error).__name__)
        return Problem(
            503,
            "database-unreachable",
            "the database cannot be reached just now; nothing was kept, please send this again",
            headers={"Retry-After": "1"},
        )
    log.error("unexpected error: %s", type(error).__name__, exc_info=error)
    return Problem(500, "unexpected", "a mistake of ours; the server's log has the details")
