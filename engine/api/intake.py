"""Intake of events: the Segment HTTP interface (https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/).

An answer of 200 says that the events are committed. A message that cannot be kept does not lose the others
of its batch: it is named in `rejected`, with the reason; sending it again is of no use. Sending anything
else again is harmless, since `messageId` makes a message unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request

from engine.api import examples
from engine.api.access import token_in
from engine.api.body import BATCH_LIMIT, EVENT_LIMIT, read_json, size_of
from engine.api.problems import Problem
from engine.api.services import Services, services
from engine.ingest.intake import Accepted, Came, Rejected, accept_live
from engine.ingest.normalise import TYPES, Refusal, instant
from engine.store.keys import ApiKey

router = APIRouter(prefix="/v1", tags=["intake"])

MOST_IN_BATCH: Final = 10_000


async def one(request: Request) -> dict[str, Any]:
    """Keeps one event."""
    found = services(request)
    key, body = await _authorised(request, found)
    kind = request.url.path.rpartition("/")[2]
    if size_of(body) > EVENT_LIMIT:
        raise Problem(413, "too-large", _too_large(body))
    came = Came({**body, "type": kind}, datetime.now(UTC))
    result = await found.gathering.accept(_source(key), came)
    found.metrics.count([result])
    if isinstance(result, Rejected):
        raise Problem(400, "rejected", result.reason)
    return {"success": True} | ({"warnings": list(result.problems)} if result.problems else {})


async def batch(request: Request) -> dict[str, Any]:
    """Keeps many events, each with its own `type`."""
    found = services(request)
    key, body = await _authorised(request, found)
    messages = body.get("batch")
    if not isinstance(messages, list):
        raise Problem(400, "malformed", "batch: expected a list of events")
    if len(messages) > MOST_IN_BATCH:
        detail = f"batch: {len(messages)} events, at most {MOST_IN_BATCH} are allowed"
        raise Problem(413, "too-large", detail)
    try:
        sent_at = instant(body.get("sentAt"), "sentAt")
    except Refusal:
        sent_at = None  # without it timestamps are taken as they are
    results = await _keep(found, key, messages, sent_at)
    rejected = [
        {"index": index, "reason": result.reason}
        | ({"messageId": result.message_id} if result.message_id else {})
        for index, result in enumerate(results)
        if isinstance(result, Rejected)
    ]
    warnings = [
        {"index": index, "messageId": result.message_id, "reason": problem}
        for index, result in enumerate(results)
        if isinstance(result, Accepted)
        for problem in result.problems
    ]
    answer: dict[str, Any] = {"success": not results or len(rejected) < len(results)}
    return (
        answer | ({"rejected": rejected} if rejected else {}) | ({"warnings": warnings} if warnings else {})
    )


async def _authorised(request: Request, found: Services) -> tuple[ApiKey, dict[str, Any]]:
    """The key and the body. A key in a header is looked at before the body is read."""
    token = token_in(request.headers)
    key = await found.keys.require(token, "ingest") if token else None
    body = await read_json(request)
    if not isinstance(body, dict):
        raise Problem(400, "malformed", "the body: expected a JSON object")
    if key is None:
        stated = body.get("writeKey")
        key = await found.keys.require(stated if isinstance(stated, str) else None, "ingest")
    return key, body


async def _keep(
    found: Services, key: ApiKey, messages: Sequence[Any], sent_at: datetime | None
) -> list[Accepted | Rejected]:
    too_large = _oversized(messages)
    now = datetime.now(UTC)
    kept = [Came(message, now) for index, message in enumerate(messages) if index not in too_large]
    answers = iter(await accept_live(found.database, _source(key), kept, sent_at) if kept else [])
    results = [too_large[i] if i in too_large else next(answers) for i in range(len(messages))]
    found.metrics.count(results)
    return results


def _source(key: ApiKey) -> str:
    return key.source or key.name


def _oversized(messages: Sequence[Any]) -> dict[int, Rejected]:
    found = {}
    for index, message in enumerate(messages):
        if size_of(message) > EVENT_LIMIT:
            found[index] = Rejected(_too_large(message), _stated_id(message))
    return found


def _too_large(message: Any) -> str:
    return f"the event has {size_of(message)} bytes as JSON, at most {EVENT_LIMIT} are allowed"


def _stated_id(message: Any) -> str | None:
    stated = message.get("messageId") if isinstance(message, dict) else None
    return stated[:100] if isinstance(stated, str) else None


for _kind in TYPES:
    router.add_api_route(
        f"/{_kind}",
        one,
        methods=["POST"],
        operation_id=f"send_{_kind}",
        summary=f"Send one {_kind} event",
        openapi_extra=examples.intake_body(_kind),
        responses=examples.INTAKE_RESPONSES,
    )
for _path in ("/batch", "/import"):
    router.add_api_route(
        _path,
        batch,
        methods=["POST"],
        operation_id=f"send_{_path[1:]}",
        summary=f"Send up to {BATCH_LIMIT // 1024} KB of events at once",
        openapi_extra=examples.intake_body("batch"),
        responses=examples.INTAKE_RESPONSES,
    )
