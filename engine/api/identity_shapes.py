"""Shapes of what the management API says about identities."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from engine.api.shapes import Identifier, Identity, Profile, Shape, TagGrant


class Moment(Shape):
    """One thing that happened with a customer, at the logical instant `at`."""

    at: datetime
    what: Literal["event", "message", "entered", "exited", "merged", "consent", "segment", "stage"]
    ref: str
    name: str = Field(examples=["cart.updated"])
    details: dict[str, Any]


class ProfileInFull(Profile):
    """A profile with where each attribute comes from, and the first page of its timeline."""

    provenance: dict[str, dict[str, list[Any]]] = Field(
        description="By name, by identity: [at, source, confidence], and the value where another counts. "
        "Names of addresses begin with `@`.",
        examples=[{"tier": {"external_id:c-17": ["2026-11-11T10:00:00.000000Z", "shop", None]}}],
    )
    stage_since: datetime | None = Field(description="Logical; null where it is not known.")
    segments: dict[str, datetime] = Field(
        description="Segments that are followed and that it is in, and since when.",
        examples=[{"engaged": "2026-11-11T10:00:00Z"}],
    )
    grants: list[TagGrant] = Field(description="Where its tags come from, as far as that is known.")
    timeline: list[Moment]
    timeline_next: str | None = Field(description="For `/timeline`; null if this is all.")


class Review(Shape):
    """Something for people to decide. `via` is what connects `one` and `two`."""

    id: UUID
    reason: Literal["two_of_a_kind", "too_many"]
    kind: str = Field(description="The kind of identifier that there are two, or too many, of.")
    one: Identity
    two: Identity | None
    via: Identity | None
    seen: int = Field(description="How often it came up.")
    at: datetime = Field(description="Logical.")
    found_at: datetime
    decision: Literal["same", "apart"] | None
    decided_by: str | None
    decided_at: datetime | None


class DecideRequest(BaseModel):
    """What people decided, and who."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"decision": "apart"}})

    decision: Literal["same", "apart"]
    decided_by: Identifier | None = None


class Decided(Shape):
    id: UUID
    decision: Literal["same", "apart"]
    merges: list[int] = Field(description="Merges that followed.")


class Merge(Shape):
    """`loser` became part of `survivor`, at the logical instant `at`."""

    id: int
    survivor: UUID
    loser: UUID
    at: datetime
    merged_at: datetime
    undone_at: datetime | None
    undone_by: str | None


class Problem(Shape):
    """An identifier that identifies nobody, by where it came from. No values are kept."""

    kind: str
    source: str
    reason: str
    seen: int
    last_seen_at: datetime


class Erased(Shape):
    """What was erased: rows by table. `sending` messages were still under way when it ended."""

    profile_id: UUID
    ended: int = Field(description="Enrolments that ended, exit `unsubscribed`.")
    suppressed: int = Field(description="Addresses to which nothing is sent any more.")
    touched: dict[str, int]
    sending: int
