"""Management API: crowds, which let many profiles into a journey at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import ValidationError

from engine.api import examples, paging, shapes
from engine.api.body import read_json
from engine.api.problems import Problem, invalid
from engine.api.secured import managing, reading
from engine.api.segments import named
from engine.api.services import services
from engine.core.identity import crowd_workflow_id
from engine.customers import segments
from engine.customers.segments import Group, SegmentError
from engine.ingest import crowds as asking
from engine.ingest.manual import EntryRefused
from engine.store import crowds, journeys
from engine.store.crowd_members import Named
from engine.store.crowds import Crowd
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

router = reading("crowds")
control_router = managing("crowds")


async def _wanted(request: Request) -> shapes.CrowdRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return shapes.CrowdRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CrowdRequest"}}},
    }
}


@control_router.post(
    "/crowds",
    summary="Let a crowd enter a journey",
    status_code=202,
    openapi_extra=_BODY,
    responses={
        409: examples.problem("Conflict", "refused", 409, "journey 'welcome' is archived: nobody enters"),
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def ask_for_crowd(
    request: Request, wanted: Annotated[shapes.CrowdRequest, Depends(_wanted)]
) -> shapes.CrowdAsked:
    """Asks that profiles enter a journey with a `manual` trigger: all of them, those with a tag, those in a
    segment or for whom a condition holds, or those named here. A condition stays as it is now. Of a journey
    with an `audience` nobody is named: it is launched for those in its segment.

    It is taken up moments later; `GET /crowds/{id}` says how far it is.
    """
    named = [Named(kind=each.kind, value=each.value) for each in wanted.identities or ()]
    named += [Named(profile_id=str(each)) for each in wanted.profile_ids or ()]
    listed = None if wanted.identities is None and wanted.profile_ids is None else named

    async def work(connection: AsyncConnection) -> asking.Asked:
        if wanted.journey not in await journeys.standing(connection):
            raise Problem(404, "no-such-journey", f"there is no journey {wanted.journey!r}")
        group = await _group(connection, wanted)
        return await asking.ask(
            connection,
            wanted.journey,
            wanted.properties,
            tag=wanted.tag,
            group=group,
            listed=listed,
            campaign=wanted.campaign,
        )

    try:
        asked = await in_transaction(services(request).database, work)
    except EntryRefused as error:
        raise Problem(409, "refused", str(error)) from None
    shown = _shown(asked.crowd).model_dump()
    return shapes.CrowdAsked(**shown, not_one=sorted(asked.not_one))


async def _group(connection: AsyncConnection, wanted: shapes.CrowdRequest) -> Group | None:
    if wanted.segment is not None:
        return await named(connection, wanted.segment)
    if wanted.where is None:
        return None
    try:
        return await segments.of_condition(connection, wanted.where)
    except SegmentError as error:
        raise Problem(422, "invalid", f"body.where: {error}") from None


@router.get("/crowds", summary="List crowds")
async def list_crowds(
    request: Request,
    journey: Annotated[shapes.Name | None, Query(description="Only into this journey.")] = None,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[shapes.Crowd]:
    """Crowds, the last asked for first."""
    after = paging.unmark(next, UUID)
    async with services(request).database.connect() as connection:
        found = await crowds.find(
            connection, journey=journey, limit=limit + 1, before=after[0] if after else None
        )
    page = found[:limit]
    more = paging.mark(page[-1].id) if len(found) > limit else None
    return shapes.Page[shapes.Crowd](items=[_shown(each) for each in page], next=more)


@router.get("/crowds/{crowd_id}", summary="Get a crowd")
async def get_crowd(request: Request, crowd_id: UUID) -> shapes.Crowd:
    """How far a crowd is, and who was not let in."""
    async with services(request).database.connect() as connection:
        found = await crowds.get(connection, str(crowd_id))
    return _shown(_there(found, crowd_id))


@control_router.post(
    "/crowds/{crowd_id}/cancel",
    summary="Cancel a crowd",
    status_code=202,
    responses={409: examples.problem("Conflict", "ended", 409, "the crowd is over already: entered")},
)
async def cancel_crowd(request: Request, crowd_id: UUID) -> shapes.Crowd:
    """Lets nobody else in. Those who are in stay."""

    async def work(connection: AsyncConnection) -> Crowd | None:
        before = _there(await asking.cancel(connection, str(crowd_id)), crowd_id)
        if before.over:
            raise Problem(409, "ended", f"the crowd is over already: {before.status}")
        return await crowds.get(connection, str(crowd_id))

    return _shown(_there(await in_transaction(services(request).database, work), crowd_id))


def _there(found: Crowd | None, crowd_id: UUID) -> Crowd:
    if found is None:
        raise Problem(404, "no-such-crowd", f"there is no crowd {crowd_id}")
    return found


def _shown(crowd: Crowd) -> shapes.Crowd:
    return shapes.Crowd(
        id=UUID(crowd.id),
        journey=crowd.journey,
        digest=crowd.digest,
        what=crowd.what,
        tag=crowd.tag,
        segment=crowd.segment,
        where=None if crowd.condition is None else crowd.condition["where"],
        properties=crowd.given,
        status=crowd.status,
        total=crowd.total,
        looked_at=crowd.looked,
        entered=crowd.entered,
        restarted=crowd.restarted,
        refused=crowd.refused,
        unknown=crowd.unknown,
        created_at=crowd.created_at,
        entered_at=crowd.entered_at,
        finished_at=crowd.finished_at,
        error=crowd.error,
        workflow_id=crowd_workflow_id(crowd.journey, crowd.id),
    )
