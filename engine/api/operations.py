"""Management API: journeys, and what operators do with them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import ValidationError

from engine.api import examples, shapes
from engine.api.body import read_json
from engine.api.problems import Problem, invalid
from engine.api.secured import managing, reading
from engine.api.services import services
from engine.customers.applied import identity_rules
from engine.customers.lookup import find, spellings
from engine.ingest.manual import Asked, EntryRefused, enter_manually
from engine.ingest.operating import Action, CannotOperate, operate
from engine.store import clock, counts, entries, journeys, plans
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

router = reading("journeys")
control_router = managing("journeys")

JourneyName = Annotated[shapes.Name, Path(description="The journey's name.", examples=["unpaid-cart"])]
_CONFLICT = examples.problem("Conflict", "refused", 409, "`unpaid-cart` is archived")


@router.get("/journeys", summary="List journeys")
async def list_journeys(request: Request) -> shapes.Page[shapes.Journey]:
    """Every journey that was applied, by name."""
    async with services(request).database.connect() as connection:
        found = await overview(connection)
    return shapes.Page[shapes.Journey](items=found, next=None)


async def overview(connection: AsyncConnection) -> list[shapes.Journey]:
    """Every journey with how many are under way."""
    known = await journeys.all_journeys(connection)
    live = await counts.live_enrolments(connection)
    stored = await plans.by_digest(connection, {j.live_digest for j in known.values() if j.live_digest})
    return [
        shapes.Journey(
            name=each.name,
            title=stored.get(each.live_digest or "", {}).get("title"),
            status=each.status,
            version=each.version,
            live_digest=each.live_digest,
            paused_at=each.paused_at,
            applied_at=each.applied_at,
            under_way=live.get(each.name, 0),
        )
        for each in known.values()
    ]


@router.get("/journeys/{name}", summary="Get a journey with its numbers")
async def get_journey(request: Request, name: JourneyName) -> shapes.JourneyInFull:
    """A journey with its source and what became of those who entered."""
    async with services(request).database.connect() as connection:
        return await in_full(connection, name)


async def in_full(connection: AsyncConnection, name: str) -> shapes.JourneyInFull:
    """A journey with its numbers.

    Raises:
        Problem: there is none of this name.
    """
    found = next((each for each in await overview(connection) if each.name == name), None)
    if found is None:
        raise Problem(404, "no-such-journey", f"there is no journey {name!r}")
    outcomes = (await counts.outcomes(connection, [name])).get(name, {})
    return shapes.JourneyInFull(
        **found.model_dump(),
        source=(await journeys.all_journeys(connection))[name].source,
        exits={exit: n for exit, n in outcomes.items() if exit != "live"},
        converted=(await counts.conversions(connection, [name])).get(name, 0),
        missed=await entries.missed(connection, name),
    )


@control_router.post("/journeys/{name}/pause", summary="Pause a journey", responses={409: _CONFLICT})
async def pause_journey(request: Request, name: JourneyName) -> shapes.Operated:
    """Holds a journey: nobody enters, those under way wait where they are. Goals and exits still apply."""
    return await _operate(request, name, "pause")


@control_router.post("/journeys/{name}/resume", summary="Resume a journey", responses={409: _CONFLICT})
async def resume_journey(request: Request, name: JourneyName) -> shapes.Operated:
    """Lets a paused or archived journey run again."""
    return await _operate(request, name, "resume")


async def _operate(request: Request, name: str, action: Action) -> shapes.Operated:
    database = services(request).database
    async with database.connect() as connection:
        if name not in await journeys.standing(connection):
            raise Problem(404, "no-such-journey", f"there is no journey {name!r}")
    try:
        return shapes.Operated.model_validate(await operate(database, name, action))
    except CannotOperate as error:
        raise Problem(409, "refused", str(error)) from None


async def _entering(request: Request) -> shapes.EnterRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return shapes.EnterRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


_ENTER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EnterRequest"}}},
    }
}


@control_router.post(
    "/journeys/{name}/enter",
    summary="Let a profile enter a journey",
    status_code=202,
    openapi_extra=_ENTER_BODY,
    responses={
        409: examples.problem("Conflict", "refused", 409, "journey 'welcome' is paused"),
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def enter_journey(
    request: Request, name: JourneyName, wanted: Annotated[shapes.EnterRequest, Depends(_entering)]
) -> shapes.Asked:
    """Asks for an entry into a journey with `trigger: {manual: true}`; `reenter` is judged moments later."""

    async def work(connection: AsyncConnection) -> Asked:
        if name not in await journeys.standing(connection):
            raise Problem(404, "no-such-journey", f"there is no journey {name!r}")
        profile_id = await _named(connection, wanted)
        now = (await clock.load(connection)).now()
        message_id = wanted.message_id or str(uuid.uuid4())
        return await enter_manually(connection, name, profile_id, wanted.properties, message_id, now)

    try:
        asked = await in_transaction(services(request).database, work)
    except EntryRefused as error:
        raise Problem(409, "refused", str(error)) from None
    return shapes.Asked.model_validate(asked)


async def _named(connection: AsyncConnection, wanted: shapes.EnterRequest) -> str:
    if (wanted.profile_id is None) == (wanted.identity is None):
        raise Problem(422, "invalid", "body: expected either profile_id or identity")
    if wanted.identity is None:
        return str(wanted.profile_id)
    rules = await identity_rules(connection)
    found = await find(connection, spellings(wanted.identity.kind, wanted.identity.value, rules))
    if not found:
        raise Problem(404, "no-such-profile", "no profile has this identity; send an identify call first")
    return found[0]
