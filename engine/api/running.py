"""Management API: enrolments and deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request

from engine.api import examples, paging, shapes
from engine.api.problems import Problem
from engine.api.secured import managing, reading
from engine.api.services import Services, services
from engine.core import words
from engine.core.codec import plan_from_json
from engine.ingest import manual
from engine.store import clock, deliveries, enrolments, plans, traces
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

router = reading("enrolments")
control_router = managing("enrolments")
delivery_router = reading("deliveries")

Journey = Annotated[shapes.Name | None, Query(description="Only of this journey.")]
OfProfile = Annotated[UUID | None, Query(description="Only of this profile.")]


@router.get("/enrolments", summary="List enrolments")
async def list_enrolments(
    request: Request,
    journey: Journey = None,
    profile_id: OfProfile = None,
    status: Annotated[Literal["live", "ended"] | None, Query()] = None,
    exit: Annotated[shapes.Exit | None, Query(description="Only those that ended so.")] = None,
    digest: Annotated[shapes.Name | None, Query(description="Only of this version of a journey.")] = None,
    holdout: Annotated[bool | None, Query()] = None,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[shapes.Enrolment]:
    """Enrolments, last entered first."""
    after = paging.unmark(next, datetime, UUID)
    where = enrolments.Filter(
        journey=journey,
        profile_id=None if profile_id is None else str(profile_id),
        status=status,
        exit=exit,
        digest=digest,
        holdout=holdout,
    )
    async with services(request).database.connect() as connection:
        found = await enrolments.find(
            connection, where, limit=limit + 1, after=(after[0], after[1]) if after else None
        )
    page = found[:limit]
    more = paging.mark(page[-1].entered_at, page[-1].id) if len(found) > limit else None
    return shapes.Page[shapes.Enrolment](
        items=[shapes.Enrolment.model_validate(each) for each in page], next=more
    )


@router.get("/enrolments/{enrolment_id}", summary="Get an enrolment with its trace")
async def get_enrolment(request: Request, enrolment_id: UUID) -> shapes.EnrolmentInFull:
    """An enrolment with everything that happened in it."""
    found = services(request)
    async with found.database.connect() as connection:
        return await in_full(connection, str(enrolment_id), found)


async def in_full(connection: AsyncConnection, enrolment_id: str, found: Services) -> shapes.EnrolmentInFull:
    """An enrolment with its trace in words and its deliveries.

    Raises:
        Problem: there is none with this id.
    """
    row = (await enrolments.get_batch(connection, [enrolment_id])).get(enrolment_id)
    if row is None:
        raise Problem(404, "no-such-enrolment", f"there is no enrolment {enrolment_id}")
    [row] = await enrolments.with_places(connection, [row])
    stored = (await plans.by_digest(connection, [row.digest])).get(row.digest)
    plan = plan_from_json(stored) if stored is not None else None
    lines = (await traces.read_batch(connection, [row.id])).get(row.id, [])
    sent = (await deliveries.of_enrolments(connection, [row.id])).get(row.id, [])
    fields: dict[str, Any] = shapes.Enrolment.model_validate(row).model_dump()
    return shapes.EnrolmentInFull(
        **fields,
        trigger=row.trigger,
        answers=row.answers,
        trace=[
            shapes.TraceLine(
                at=line.at,
                result=line.result,
                step=line.step,
                detail=line.detail,
                passed_over=list(line.passed_over),
                words=words.in_words(plan, line) if plan is not None else line.result,
            )
            for line in lines
        ],
        deliveries=[shapes.Delivery.model_validate(each) for each in sent],
        temporal_url=workflow_url(found.temporal_ui, row.workflow_id),
    )


async def latest(connection: AsyncConnection, journey: str, limit: int) -> list[enrolments.Enrolment]:
    """The enrolments that entered this journey last."""
    return await enrolments.find(connection, enrolments.Filter(journey=journey), limit=limit)


def workflow_url(temporal_ui: str | None, workflow_id: str | None) -> str | None:
    """The page of a workflow in Temporal's interface."""
    if not temporal_ui or not workflow_id:
        return None
    return f"{temporal_ui.rstrip('/')}/namespaces/default/workflows/{workflow_id.replace('/', '%2F')}"


@control_router.post(
    "/enrolments/{enrolment_id}/cancel",
    summary="Cancel an enrolment",
    status_code=202,
    responses={409: examples.problem("Conflict", "ended", 409, "the enrolment has ended already: goal")},
)
async def cancel_enrolment(request: Request, enrolment_id: UUID) -> shapes.Enrolment:
    """Ends a live enrolment, exit `cancelled`, once what it is just doing is settled.

    The answer is the enrolment as it stands now: it ends moments later.
    """
    database = services(request).database

    async def work(connection: AsyncConnection) -> enrolments.Enrolment | None:
        now = (await clock.load(connection)).now()
        await manual.cancel(connection, str(enrolment_id), now)
        return (await enrolments.get_batch(connection, [str(enrolment_id)])).get(str(enrolment_id))

    row = await in_transaction(database, work)
    if row is None:
        raise Problem(404, "no-such-enrolment", f"there is no enrolment {enrolment_id}")
    if row.status != "live":
        raise Problem(409, "ended", f"the enrolment has ended already: {row.exit}")
    return shapes.Enrolment.model_validate(row)


@delivery_router.get("/deliveries", summary="List deliveries")
async def list_deliveries(
    request: Request,
    journey: Journey = None,
    profile_id: OfProfile = None,
    enrolment_id: Annotated[UUID | None, Query(description="Only of this enrolment.")] = None,
    state: Annotated[shapes.DeliveryState | None, Query()] = None,
    channel: Annotated[shapes.Name | None, Query()] = None,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[shapes.Delivery]:
    """Deliveries, the logically latest first."""
    after = paging.unmark(next, datetime, UUID, str)
    async with services(request).database.connect() as connection:
        found = await deliveries.find(
            connection,
            journey=journey,
            profile_id=None if profile_id is None else str(profile_id),
            enrolment_id=None if enrolment_id is None else str(enrolment_id),
            state=state,
            channel=channel,
            limit=limit + 1,
            after=(after[0], after[1], after[2]) if after else None,
        )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return shapes.Page[shapes.Delivery](
        items=[shapes.Delivery.model_validate(each) for each in page],
        next=paging.mark(last.at, last.enrolment_id, last.step) if last else None,
    )
