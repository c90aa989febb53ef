"""Routers of the management API: prefix, keys, and the errors that every route may answer with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from engine.api import examples
from engine.api.access import token_in
from engine.api.services import services
from engine.store.keys import ApiKey, Scope

PREFIX = "/api/v1"


class _Named(SecurityBase):
    """A scheme for OpenAPI only: the key itself is read by `requires`."""

    def __init__(self, name: str, model: HTTPBase) -> None:
        self.scheme_name = name
        self.model = model

    async def __call__(self) -> None:
        return None


_basic = _Named("basic", HTTPBase(scheme="basic", description="The key as user name, no password."))
_bearer = _Named("bearer", HTTPBase(scheme="bearer", description="The key."))

ERRORS: dict[int | str, dict[str, Any]] = {
    400: examples.problem("Bad Request", "bad-page", 400, "next: expected the `next` of a page of this list"),
    401: examples.UNAUTHORISED,
    403: examples.FORBIDDEN,
    404: examples.problem("Not Found", "no-such-profile", 404, "there is no profile 7f0c…"),
    422: examples.problem(
        "Unprocessable Content", "invalid", 422, "query.limit: Input should be at most 200"
    ),
    503: examples.UNREACHABLE,
}


def requires(scope: Scope) -> Callable[[Request], Awaitable[ApiKey]]:
    """A dependency that lets in keys of this scope only."""

    async def required(request: Request) -> ApiKey:
        return await services(request).keys.require(token_in(request.headers), scope)

    return required


def reading(tag: str) -> APIRouter:
    """A router for keys that may read."""
    return _router(tag, "read")


def managing(tag: str) -> APIRouter:
    """A router for keys that may change what runs."""
    return _router(tag, "manage")


def _router(tag: str, scope: Scope) -> APIRouter:
    return APIRouter(
        prefix=PREFIX,
        tags=[tag],
        dependencies=[Depends(_basic), Depends(_bearer), Depends(requires(scope))],
        responses=ERRORS,
    )
