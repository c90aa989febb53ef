"""Management API: segments, who is in them, and lists."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from pydantic import ValidationError

from engine.api import customers, examples, paging, shapes
from engine.api.body import read_json
from engine.api.problems import Problem, invalid
from engine.api.secured import managing, reading
from engine.api.services import services
from engine.customers import lists, segments
from engine.customers.applied import applied
from engine.customers.segments import Group, NoSuchSegment, SegmentError
from engine.store import clock, derived
from engine.store.crowd_members import Named
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

router = reading("segments")
control_router = managing("segments")

SegmentName = Annotated[shapes.Name, Path(description="The segment's name.", examples=["engaged"])]


async def _wanted(request: Request) -> shapes.MembersRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return shapes.MembersRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MembersRequest"}}},
    }
}


@router.get("/segments", summary="List segments")
async def list_segments(request: Request) -> shapes.Page[shapes.Segment]:
    """Every segment of the catalogue that was applied, in its order."""
    async with services(request).database.connect() as connection:
        found = (await applied(connection)).catalogue.segments
    items = [_shown(name, text) for name, text in found.items()]
    return shapes.Page[shapes.Segment](items=items, next=None)


@router.get("/segments/{name}", summary="Get a segment")
async def get_segment(request: Request, name: SegmentName) -> shapes.Segment:
    """What the catalogue says of it."""
    async with services(request).database.connect() as connection:
        group = await named(connection, name)
    return _shown(name, group.text)


@router.get("/segments/{name}/count", summary="Count a segment")
async def count_segment(request: Request, name: SegmentName) -> shapes.SegmentCount:
    """How many profiles are in it now."""
    async with services(request).database.connect() as connection:
        group, now = await _asking(connection, name)
        found = await segments.count(connection, group, now)
    return shapes.SegmentCount(segment=name, count=found, at=now)


@router.get("/segments/{name}/explain", summary="Explain a segment")
async def explain_segment(request: Request, name: SegmentName) -> shapes.SegmentExplained:
    """Which part of its expression keeps how many, alone and with those before it."""
    async with services(request).database.connect() as connection:
        group, now = await _asking(connection, name)
        found = await segments.explain(connection, group, now)
    parts = [shapes.SegmentPart(part=p.text, alone=p.alone, together=p.together) for p in found.parts]
    return shapes.SegmentExplained(
        segment=name,
        count=found.count,
        at=now,
        everybody=found.everybody,
        joined_by=found.joined_by,
        parts=parts,
    )


@router.get("/segments/{name}/profiles", summary="List the profiles of a segment")
async def list_profiles(
    request: Request,
    name: SegmentName,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[shapes.Profile]:
    """Who is in it now, by id. Each page asks anew."""
    after = paging.unmark(next, UUID)
    async with services(request).database.connect() as connection:
        group, now = await _asking(connection, name)
        found = await segments.preview(connection, group, now, limit + 1, after[0] if after else None)
        page = found[:limit]
        shown = await customers.profiles_by_id(connection, [profile.id for profile in page])
    more = paging.mark(page[-1].id) if len(found) > limit else None
    return shapes.Page[shapes.Profile](items=shown, next=more)


@router.get("/segments/{name}/history", summary="List who entered and left")
async def list_passages(
    request: Request,
    name: SegmentName,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[shapes.SegmentPassage]:
    """Who entered a segment that is followed and who left it, the last first."""
    after = paging.unmark(next, datetime, int)
    async with services(request).database.connect() as connection:
        await named(connection, name)
        mark = (after[0], after[1]) if after else None
        found = await derived.history(connection, name, limit + 1, mark)
    page = found[:limit]
    more = paging.mark(page[-1].at, page[-1].id) if len(found) > limit else None
    return shapes.Page[shapes.SegmentPassage](
        items=[shapes.SegmentPassage.model_validate(each) for each in page], next=more
    )


@control_router.post(
    "/segments/{name}/members",
    summary="Change a list",
    openapi_extra=_BODY,
    responses={
        409: examples.problem("Conflict", "refused", 409, "`engaged` is an expression"),
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def change_members(
    request: Request, name: SegmentName, wanted: Annotated[shapes.MembersRequest, Depends(_wanted)]
) -> shapes.MembersChanged:
    """Puts profiles on a list (`list: true` in the catalogue), takes them off, or replaces who is on it."""
    given = [Named(kind=each.kind, value=each.value) for each in wanted.identities]
    given += [Named(profile_id=str(each)) for each in wanted.profile_ids]

    async def work(connection: AsyncConnection) -> lists.Changed:
        await named(connection, name)
        return await lists.change(connection, name, given, wanted.change)

    try:
        found = await in_transaction(services(request).database, work)
    except SegmentError as error:
        raise Problem(409, "refused", str(error)) from None
    return shapes.MembersChanged(
        added=found.added, removed=found.removed, members=found.members, not_one=sorted(found.not_one)
    )


async def named(connection: AsyncConnection, name: str) -> Group:
    """The customers of a segment.

    Raises:
        Problem: there is no such segment.
    """
    try:
        return await segments.named(connection, name)
    except NoSuchSegment as error:
        raise Problem(404, "no-such-segment", str(error)) from None


async def _asking(connection: AsyncConnection, name: str) -> tuple[Group, datetime]:
    return await named(connection, name), (await clock.load(connection)).now()


def _shown(name: str, text: str | None) -> shapes.Segment:
    return shapes.Segment(name=name, list=text is None, where=text)
