"""Management API: profiles and their events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import Query, Request

from engine.api import paging, shapes
from engine.api.problems import Problem
from engine.api.secured import reading
from engine.api.services import services
from engine.store import events, identities, profiles

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

router = reading("profiles")
event_router = reading("events")


@router.get("/profiles", summary="Find a profile by an identifier")
async def find_profile(
    request: Request,
    value: Annotated[shapes.Identifier, Query(description="The identifier.", examples=["c-17"])],
    kind: Annotated[
        shapes.Identifier,
        Query(description="`external_id anonymous_id email phone wechat wecom alipay push`, or your own."),
    ] = "external_id",
) -> shapes.Page[shapes.Profile]:
    """The profile behind an identity: one item, or none."""
    async with services(request).database.connect() as connection:
        found = await identities.find_batch(connection, [(kind, value)])
        shown = await profiles_by_id(connection, list(found.values()))
    return shapes.Page[shapes.Profile](items=shown, next=None)


@router.get("/profiles/{profile_id}", summary="Get a profile")
async def get_profile(request: Request, profile_id: UUID) -> shapes.Profile:
    """A profile by its id. Of one that was merged, the profile that it was merged into."""
    async with services(request).database.connect() as connection:
        shown = await profiles_by_id(connection, [str(profile_id)])
    if not shown:
        raise Problem(404, "no-such-profile", f"there is no profile {profile_id}")
    return shown[0]


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
