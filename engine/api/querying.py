"""Management API: chosen fields of chosen profiles, for other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from pydantic import ValidationError

from engine.api import examples, paging
from engine.api.body import read_json
from engine.api.job_shapes import Queried, QueryRequest
from engine.api.problems import Problem, invalid
from engine.api.secured import reading
from engine.api.segments import named
from engine.api.services import services
from engine.customers import segments
from engine.customers.applied import Applied, applied
from engine.customers.exporting import CannotExport, fields_of, values_of
from engine.customers.lookup import spellings
from engine.customers.segments import SegmentError
from engine.store import clock, identities, profiles

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection
    from engine.store.profiles import Profile

router = reading("profiles")

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/QueryRequest"}}},
    }
}


async def _wanted(request: Request) -> QueryRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return QueryRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


@router.post(
    "/profiles/query",
    summary="Query profiles",
    openapi_extra=_BODY,
    responses={
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def query(request: Request, wanted: Annotated[QueryRequest, Depends(_wanted)]) -> Queried:
    """Chosen fields of the profiles that are named, in a segment, or for whom a condition holds; by id."""
    after = paging.unmark(wanted.next, UUID)
    async with services(request).database.connect() as connection:
        known = await applied(connection)
        try:
            fields = fields_of(known.catalogue, wanted.fields, personal=True)
        except CannotExport as error:
            raise Problem(422, "invalid", f"body.fields: {error}") from None
        last = after[0] if after else None
        found, not_one = await _found(connection, wanted, known, last)
        page = found[: wanted.limit]
        now = (await clock.load(connection)).now()
        items = await values_of(connection, known, page, fields, now)
    more = paging.mark(page[-1].id) if len(found) > wanted.limit else None
    return Queried(items=items, next=more, not_one=not_one)


async def _found(
    connection: AsyncConnection, wanted: QueryRequest, known: Applied, after: str | None
) -> tuple[list[Profile], list[int]]:
    """A page and one more, by id; and places that led to nobody."""
    if wanted.segment is None and wanted.where is None:
        return await _named(connection, wanted, known, after)
    try:
        if wanted.segment is not None:
            group = await named(connection, wanted.segment)
        else:
            group = await segments.of_condition(connection, wanted.where or "")
    except SegmentError as error:
        raise Problem(422, "invalid", f"body.where: {error}") from None
    now = (await clock.load(connection)).now()
    return await segments.preview(connection, group, now, wanted.limit + 1, after), []


async def _named(
    connection: AsyncConnection, wanted: QueryRequest, known: Applied, after: str | None
) -> tuple[list[Profile], list[int]]:
    rules = known.installation.identities
    ways = [spellings(each.kind, each.value, rules) for each in wanted.identities or ()]
    owners = await identities.find_batch(connection, {identity for way in ways for identity in way})
    ids = [next((owners[i] for i in way if i in owners), None) for way in ways]
    ids += [str(each) for each in wanted.profile_ids or ()]
    there = await profiles.surviving(connection, {each for each in ids if each is not None})
    not_one = [place for place, each in enumerate(ids) if each is None or each not in there]
    people = sorted({person.id: person for person in there.values()}.values(), key=lambda person: person.id)
    return [person for person in people if after is None or person.id > after][: wanted.limit + 1], not_one
