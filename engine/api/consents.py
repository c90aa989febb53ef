"""Management API: the ledger of consents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from engine.api import examples
from engine.api.body import read_json
from engine.api.problems import Problem, invalid
from engine.api.secured import managing, reading
from engine.api.services import services
from engine.api.shapes import Identifier, Page, Shape
from engine.ingest.consenting import NobodyConsents, Said, WrongConsent, record_consent
from engine.language.consents import named
from engine.store import consents, profiles

router = reading("profiles")
control_router = managing("profiles")


class Consent(Shape):
    """One entry of the ledger, at the logical instant `at`. `*` is every channel, or every purpose."""

    channel: str = Field(examples=["email"])
    purpose: str = Field(examples=["newsletter"])
    category: Literal["marketing", "transactional"]
    granted: bool
    at: datetime
    source: str | None
    text_version: str | None


class ConsentRequest(BaseModel):
    """What a customer agreed to or withdrew."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "channel": "email",
                "purpose": "newsletter",
                "granted": True,
                "source": "checkout form",
                "text_version": "2026-11",
            }
        },
    )

    channel: Identifier = Field(description="A channel; `marketing` for every channel.")
    granted: bool
    purpose: Identifier | None = Field(default=None, description="One of `kairos.yaml`; null: all of them.")
    category: Literal["marketing", "transactional"] = "marketing"
    source: Identifier | None = Field(default=None, description="Where it was said.")
    text_version: Identifier | None = Field(default=None, description="Which text the customer saw.")
    at: AwareDatetime | None = Field(default=None, description="When; null is now.")


async def _said(request: Request) -> ConsentRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return ConsentRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ConsentRequest"}}},
    }
}


@router.get("/profiles/{profile_id}/consents", summary="List the consents of a profile")
async def list_consents(request: Request, profile_id: UUID) -> Page[Consent]:
    """The whole ledger of a profile, oldest first."""
    async with services(request).database.connect() as connection:
        survivor = (await profiles.surviving(connection, [str(profile_id)])).get(str(profile_id))
        if survivor is None:
            raise Problem(404, "no-such-profile", f"there is no profile {profile_id}")
        found = await consents.history(connection, survivor.id)
    return Page[Consent](items=[Consent.model_validate(each) for each in found], next=None)


@control_router.post(
    "/profiles/{profile_id}/consents",
    summary="Record a consent",
    status_code=201,
    openapi_extra=_BODY,
    responses={
        413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
        415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
    },
)
async def add_consent(
    request: Request, profile_id: UUID, said: Annotated[ConsentRequest, Depends(_said)]
) -> Consent:
    """Adds to the ledger what a customer agreed to, or withdrew. The next message goes by it."""
    channel, purpose = named(said.channel)
    word = Said(
        channel,
        said.granted,
        said.purpose or purpose,
        said.category,
        said.source,
        said.text_version,
    )
    try:
        kept = await record_consent(services(request).database, str(profile_id), word, said.at)
    except NobodyConsents as error:
        raise Problem(404, "no-such-profile", str(error)) from None
    except WrongConsent as error:
        raise Problem(422, "invalid", f"body: {error}") from None
    return Consent.model_validate(kept)
