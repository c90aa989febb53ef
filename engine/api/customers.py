"""Management API: profiles and their events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import ValidationError

from engine.api import examples, paging, shapes
from engine.api.body import read_json
from engine.api.identity_shapes import Moment, ProfileInFull
from engine.api.problems import Problem, invalid
from engine.api.secured import managing, reading
from engine.api.services import services
from engine.customers import tags as by_hand
from engine.customers.applied import identity_rules
from engine.customers.lookup import find, of_any_kind, spellings
from engine.language.lengths import parse_length
from engine.store import clock, derived, events, identities, profiles, tags, timeline
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

router = reading("profiles")
control_router = managing("profiles")
event_router = reading("events")


@router.get("/profiles", summary="Find a profile by an identifier")
async def find_profile(
    request: Request,
    value: Annotated[shapes.Identifier, Query(description="The identifier.", examples=["c-17"])],
    kind: Annotated[
        shapes.Identifier,
        Query(description="`external_id email phone member_number wechat …`, your own, or `any`."),
    ] = "external_id",
) -> shapes.Page[shapes.Profile]:
    """The profile behind an identity, in any spelling: one item, or none. With `any` there may be several."""
    async with services(request).database.connect() as connection:
        rules = await identity_rules(connection)
        wanted = of_any_kind(value, rules) if kind == "any" else spellings(kind, value, rules)
        shown = await profiles_by_id(connection, await find(connection, wanted))
    return shapes.Page[shapes.Profile](items=shown, next=None)


@router.get("/profiles/{profile_id}", summary="Get a profile")
async def get_profile(
    request: Request, profile_id: UUID, limit: paging.Limit = paging.DEFAULT
) -> ProfileInFull:
    """A profile by its id, with the last of what happened. Of one that was merged, the one it is part of."""
    async with services(request).database.connect() as connection:
        shown = await profiles_by_id(connection, [str(profile_id)])
        if not shown:
            raise Problem(404, "no-such-profile", f"there is no profile {profile_id}")
        own = str(shown[0].id)
        said = await profiles.provenance(connection, own)
        moments, more = await _timeline(connection, own, limit, None)
        inside = (await derived.memberships(connection, [own])).get(own, {})
        stage = (await derived.stages(connection, [own])).get(own)
        granted = (await tags.of_profiles(connection, [own])).get(own, [])
    known = shown[0].model_dump()
    return ProfileInFull(
        **(known if stage is None else known | {"stage": stage[0]}),
        provenance=said,
        stage_since=None if stage is None else stage[1],
        segments=inside,
        grants=[shapes.TagGrant.model_validate(each) for each in granted],
        timeline=moments,
        timeline_next=more,
    )


@router.get("/profiles/{profile_id}/timeline", summary="List what happened with a profile")
async def get_timeline(
    request: Request, profile_id: UUID, limit: paging.Limit = paging.DEFAULT, next: paging.Next = None
) -> shapes.Page[Moment]:
    """Events, messages, enrolments and merges of a profile, latest first."""
    after = paging.unmark(next, datetime, str)
    async with services(request).database.connect() as connection:
        survivor = (await profiles.surviving(connection, [str(profile_id)])).get(str(profile_id))
        if survivor is None:
            raise Problem(404, "no-such-profile", f"there is no profile {profile_id}")
        mark = (after[0], after[1]) if after else None
        moments, more = await _timeline(connection, survivor.id, limit, mark)
    return shapes.Page[Moment](items=moments, next=more)


async def _timeline(
    connection: AsyncConnection, profile_id: str, limit: int, after: timeline.Mark | None
) -> tuple[list[Moment], str | None]:
    found = await timeline.of_profile(connection, profile_id, limit=limit + 1, after=after)
    page = found[:limit]
    more = paging.mark(page[-1].at, page[-1].ref) if len(found) > limit else None
    return [Moment.model_validate(each) for each in page], more


async def profiles_by_id(connection: AsyncConnection, ids: list[str]) -> list[shapes.Profile]:
    """Profiles with their identities, by id; of a merged one, whom it was merged into."""
    found = {p.id: p for p in (await profiles.surviving(connection, ids)).values()}
    named = await identities.of_profiles(connection, found)
    return [
        shapes.Profile(
            id=UUID(p.id),
            key=p.key,
            external_id=p.external_id,
            addresses=p.addresses,
            attributes=p.attributes,
            tags=p.tags,
            stage=p.stage,
            time_zone=p.time_zone,
            locale=p.locale,
            identities=[shapes.Identity(kind=kind, value=value) for kind, value in named.get(p.id, ())],
            created_at=p.created_at,
            updated_at=p.updated_at,
        )
        for p in found.values()
    ]


async def _tagging(request: Request) -> shapes.TagsRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return shapes.TagsRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


_TAGS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TagsRequest"}}},
    }
}


@control_router.post(
    "/profiles/{profile_id}/tags",
    summary="Give and take tags",
    openapi_extra=_TAGS_BODY,
    responses={
        409: examples.problem("Conflict", "refused", 409, "`big-spender` is kept by a rule"),
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def change_tags(
    request: Request, profile_id: UUID, wanted: Annotated[shapes.TagsRequest, Depends(_tagging)]
) -> shapes.TagsChanged:
    """Gives a profile tags and takes others away. Of one that was merged, the one it is part of."""
    length = None
    if wanted.expires is not None and not (length := parse_length(wanted.expires)):
        raise Problem(422, "invalid", "body.expires: expected a length such as 30d")

    async def work(connection: AsyncConnection) -> shapes.TagsChanged:
        survivor = (await profiles.surviving(connection, [str(profile_id)])).get(str(profile_id))
        if survivor is None:
            raise Problem(404, "no-such-profile", f"there is no profile {profile_id}")
        at = (await clock.load(connection)).now()
        await by_hand.change(
            connection,
            survivor.id,
            at,
            give=wanted.add,
            take=wanted.remove,
            by=wanted.by,
            expires=length,
        )
        [now] = (await profiles.get_batch(connection, [survivor.id])).values()
        granted = (await tags.of_profiles(connection, [survivor.id])).get(survivor.id, [])
        return shapes.TagsChanged(
            tags=now.tags, grants=[shapes.TagGrant.model_validate(each) for each in granted]
        )

    try:
        return await in_transaction(services(request).database, work)
    except by_hand.TagError as error:
        raise Problem(409, "refused", str(error)) from None


@event_router.get("/events", summary="List the events of a profile")
async def list_events(
    request: Request,
    profile_id: UUID,
    name: Annotated[shapes.Name | None, Query(description="Only events of this name.")] = None,
    limit: paging.Limit = paging.DEFAULT,
    next: paging.Next = None,
) -> shapes.Page[shapes.Event]:
    """Events of one profile, latest first."""
    after = paging.unmark(next, datetime, int)
    async with services(request).database.connect() as connection:
        survivor = (await profiles.surviving(connection, [str(profile_id)])).get(str(profile_id))
        if survivor is None:
            raise Problem(404, "no-such-profile", f"there is no profile {profile_id}")
        found = await events.of_profile(connection, survivor.id, limit + 1, name=name, after=after)
    page = found[:limit]
    more = paging.mark(page[-1].occurred_at, page[-1].sequence) if len(found) > limit else None
    return shapes.Page[shapes.Event](items=[shapes.Event.model_validate(e) for e in page], next=more)


@event_router.get("/events/{event_id}", summary="Get an event")
async def get_event(request: Request, event_id: UUID) -> shapes.Event:
    """An event by its id."""
    async with services(request).database.connect() as connection:
        found = (await events.get_batch(connection, [str(event_id)])).get(str(event_id))
    if found is None:
        raise Problem(404, "no-such-event", f"there is no event {event_id}")
    return shapes.Event.model_validate(found)
