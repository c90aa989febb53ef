"""Management API: who is who, the review list, merges; what is kept of a person, and that it goes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import ValidationError

from engine.api import examples, paging, shapes
from engine.api.body import read_json
from engine.api.identity_shapes import Decided, DecideRequest, Erased, Merge, Review
from engine.api.identity_shapes import Problem as SeenProblem
from engine.api.problems import Problem, invalid
from engine.api.secured import managing, reading
from engine.api.services import services
from engine.customers.review import CannotDecide
from engine.ingest.erasure import NobodyToErase, erase_person, export_person
from engine.ingest.merging import settle_review, undo_merge
from engine.store import identities, merging, reviews

if TYPE_CHECKING:
    from engine.store.reviews import Review as StoredReview

router = reading("identities")
control_router = managing("identities")

_CONFLICT = examples.problem("Conflict", "refused", 409, "merge 17 was undone before")
_LARGEST = 2**63 - 1


@router.get("/reviews", summary="List what people have to look at")
async def list_reviews(
    request: Request,
    decided: Annotated[bool, Query(description="Those that were decided, instead of the open ones.")] = False,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[Review]:
    """Customers who look like one and were not merged, profiles with too many identifiers; oldest first."""
    after = paging.unmark(next, datetime, UUID)
    async with services(request).database.connect() as connection:
        found = await reviews.listed(
            connection, decided=decided, limit=limit + 1, after=(after[0], after[1]) if after else None
        )
    page = found[:limit]
    more = paging.mark(page[-1].at, page[-1].id) if len(found) > limit else None
    return shapes.Page[Review](items=[_review(each) for each in page], next=more)


def _review(found: StoredReview) -> Review:
    def identity(given: tuple[str, str] | None) -> shapes.Identity | None:
        return None if given is None else shapes.Identity(kind=given[0], value=given[1])

    return Review(
        id=UUID(found.id),
        reason=found.reason,
        kind=found.kind,
        one=shapes.Identity(kind=found.one_kind, value=found.one_value),
        two=identity(found.two),
        via=identity(found.via),
        seen=found.seen,
        at=found.at,
        found_at=found.found_at,
        decision=found.decision,
        decided_by=found.decided_by,
        decided_at=found.decided_at,
    )


async def _deciding(request: Request) -> DecideRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return DecideRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


_DECIDE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/DecideRequest"}}},
    }
}


@control_router.post(
    "/reviews/{review_id}/decide",
    summary="Decide a finding",
    openapi_extra=_DECIDE_BODY,
    responses={
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def decide_review(
    request: Request, review_id: UUID, wanted: Annotated[DecideRequest, Depends(_deciding)]
) -> Decided:
    """`same`: they are one and are merged. `apart`: they are not, and it does not come up again."""
    try:
        merges = await settle_review(
            services(request).database, str(review_id), wanted.decision, wanted.decided_by
        )
    except CannotDecide as error:
        raise Problem(404, "no-such-review", str(error)) from None
    return Decided(id=review_id, decision=wanted.decision, merges=merges)


@router.get("/merges", summary="List merges")
async def list_merges(
    request: Request,
    profile_id: Annotated[UUID | None, Query(description="Only of this profile, on either side.")] = None,
    limit: paging.Limit = paging.DEFAULT,
) -> shapes.Page[Merge]:
    """Merges, the last first."""
    async with services(request).database.connect() as connection:
        found = await merging.of_profile(connection, None if profile_id is None else str(profile_id), limit)
    return shapes.Page[Merge](items=[Merge.model_validate(each) for each in found], next=None)


@control_router.post("/merges/{merge_id}/undo", summary="Undo a merge", responses={409: _CONFLICT})
async def undo(request: Request, merge_id: int) -> Merge:
    """Gives both profiles back what was theirs. What ended with the merge stays ended."""
    database = services(request).database
    async with database.connect() as connection:
        known = await merging.get(connection, merge_id) if 0 < merge_id <= _LARGEST else None
    if known is None:
        raise Problem(404, "no-such-merge", f"there is no merge {merge_id}")
    try:
        await undo_merge(database, merge_id)
    except CannotDecide as error:
        raise Problem(409, "refused", str(error)) from None
    async with database.connect() as connection:
        return Merge.model_validate(await merging.get(connection, merge_id))


@router.get("/identity-problems", summary="List identifiers that identify nobody")
async def list_problems(request: Request, limit: paging.Limit = paging.DEFAULT) -> shapes.Page[SeenProblem]:
    """What could not be brought into the shape of its kind, counted by kind, source and reason."""
    async with services(request).database.connect() as connection:
        found = await identities.problems(connection, limit)
    return shapes.Page[SeenProblem](items=[SeenProblem(**each._asdict()) for each in found], next=None)


@control_router.get("/profiles/{profile_id}/export", summary="Export everything about a person")
async def export_profile(request: Request, profile_id: UUID) -> dict[str, Any]:
    """Everything that is kept about them, rows as they are stored, also under profiles that were merged."""
    async with services(request).database.connect() as connection:
        try:
            found = await export_person(connection, str(profile_id))
        except NobodyToErase as error:
            raise Problem(404, "no-such-profile", str(error)) from None
    return found


@control_router.delete("/profiles/{profile_id}", summary="Erase a person")
async def erase_profile(request: Request, profile_id: UUID) -> Erased:
    """Ends what runs, deletes what is personal, and keeps digests of addresses so that none is used again."""
    try:
        done = await erase_person(services(request).database, str(profile_id))
    except NobodyToErase as error:
        raise Problem(404, "no-such-profile", str(error)) from None
    return Erased.model_validate(asdict(done))
