"""Shapes of the management API: what it answers, with descriptions and examples for OpenAPI."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

T = TypeVar("T")

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
"""Text that PostgreSQL can compare: without the character NUL."""
Condition = Annotated[str, StringConstraints(min_length=1, max_length=5_000, pattern=r"^[^\x00]+$")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]
Exit = Literal[
    "completed",
    "goal",
    "exit_rule",
    "stopped",
    "superseded",
    "expired",
    "unsubscribed",
    "cancelled",
    "failed",
]
DeliveryState = Literal[
    "claimed",
    "sending",
    "accepted",
    "delivered",
    "bounced",
    "complained",
    "rejected",
    "skipped",
    "deferred",
    "failed",
    "unknown",
]
JourneyStatus = Literal["draft", "live", "paused", "archived"]


class Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Page(Shape, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(description="For the page after this one; null on the last page.")


class Identity(Shape):
    kind: str = Field(examples=["external_id"])
    value: str = Field(examples=["c-17"])


class TagGrant(Shape):
    """Where a tag comes from. `at` and `expires_at` are logical."""

    tag: str = Field(examples=["cart-engaged"])
    source: str | None = Field(examples=["journey unpaid-cart"])
    at: datetime
    expires_at: datetime | None


class Profile(Shape):
    """What is known of a customer."""

    id: UUID
    key: str = Field(description="Immutable; what splits and holdouts are drawn by.")
    external_id: str | None = Field(examples=["c-17"])
    addresses: dict[str, str] = Field(examples=[{"email": "ada@example.com"}])
    attributes: dict[str, Any] = Field(examples=[{"first_name": "Ada"}])
    tags: list[str]
    stage: str | None
    time_zone: str | None = Field(examples=["Europe/Amsterdam"])
    locale: str | None
    identities: list[Identity] = Field(description="Identifiers that lead to this profile.")
    created_at: datetime
    updated_at: datetime


class Event(Shape):
    event_id: UUID
    profile_id: UUID
    name: str = Field(examples=["cart.updated"])
    type: str = Field(examples=["track"])
    properties: dict[str, Any] = Field(examples=[{"cart_id": "k1", "total": 120}])
    occurred_at: datetime = Field(description="Logical.")
    received_at: datetime
    routed_at: datetime | None = Field(description="Null while no journey has seen it yet.")
    source: str
    message_id: str


class Enrolment(Shape):
    """One customer's way through one plan. `entered_at`, `ended_at`, `converted_at` are logical."""

    id: UUID
    journey: str = Field(examples=["unpaid-cart"])
    digest: str = Field(description="The version of the journey that it runs on.")
    profile_id: UUID
    status: Literal["live", "ended"]
    step: str | None = Field(description="Where it stands; null once it has ended.")
    exit: Exit | None
    exit_detail: str | None
    entered_at: datetime
    ended_at: datetime | None
    converted_at: datetime | None
    holdout: bool
    variants: dict[str, str] = Field(examples=[{"offer-test": "coupon"}])
    driver: str
    workflow_id: str | None


class TraceLine(Shape):
    """One thing that happened, in logical time."""

    at: datetime
    result: str = Field(examples=["sent"])
    step: str | None = Field(examples=["coupon-reminder"])
    detail: str | None = Field(examples=["sms"])
    passed_over: list[tuple[str, str]] = Field(description="Channels passed over, each with its reason.")
    words: str = Field(description="The line as a sentence.", examples=["`coupon-reminder` sent by sms"])


class Delivery(Shape):
    """The record of getting one message there. `at` and `due_at` are logical."""

    enrolment_id: UUID
    step: str
    journey: str
    profile_id: UUID
    category: str
    channel: str | None
    template: str | None
    template_digest: str | None
    template_variant: str | None
    state: DeliveryState
    reason: str | None
    passed_over: list[list[str]]
    attempts: int
    at: datetime
    due_at: datetime | None
    created_at: datetime
    settled_at: datetime | None
    provider: str | None = Field(description="Which of the channel's several providers it went to.")
    provider_id: str | None


class MessageMoment(Shape):
    """Something that happened to a message, in logical time."""

    at: datetime
    what: str = Field(examples=["handed_over"])
    words: str = Field(examples=["handed over by sms, provider's id m-17"])


class MessageInFull(Delivery):
    """A message with its whole life, and the values that every rule which stopped it went by."""

    handed_at: datetime | None = Field(description="When it was last handed to a provider; logical.")
    units: int | None = Field(description="What it took of its channel's budget.")
    quota: str | None = Field(description="The provider's quota that it draws on.")
    why: list[dict[str, Any]] = Field(description="What rules said: each time it was put off, then the last.")
    life: list[MessageMoment]


class EnrolmentInFull(Enrolment):
    """An enrolment with what began it, what it was answered, what happened and what was sent."""

    trigger: dict[str, Any]
    answers: dict[str, Any]
    trace: list[TraceLine]
    deliveries: list[Delivery]
    temporal_url: str | None = Field(description="Its workflow in Temporal's interface, if that is known.")


class Journey(Shape):
    name: str = Field(examples=["unpaid-cart"])
    title: str | None
    status: JourneyStatus
    version: int
    live_digest: str | None
    paused_at: datetime | None
    applied_at: datetime
    under_way: int = Field(description="Live enrolments.")


class JourneyInFull(Journey):
    """A journey with its numbers and its source."""

    source: str = Field(description="The YAML as applied.")
    exits: dict[str, int] = Field(description="Ended enrolments by exit.", examples=[{"goal": 12}])
    converted: int
    missed: dict[str, int] = Field(description="Entries that did not happen, by reason.")


class Operated(Shape):
    """What pausing or resuming did."""

    journey: str
    before: JourneyStatus
    status: JourneyStatus
    under_way: int


class EnterRequest(BaseModel):
    """Who is to enter, named by `profile_id` or by an identity, and what its `trigger` then has."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "identity": {"kind": "external_id", "value": "c-17"},
                "properties": {"plan": "trial"},
                "message_id": "signup-c-17",
            }
        },
    )

    profile_id: UUID | None = None
    identity: IdentityGiven | None = None
    properties: dict[str, Any] = Field(default_factory=dict, description="Become the trigger's properties.")
    message_id: Identifier | None = Field(
        default=None, description="Sent again, it changes nothing. Without it every request asks anew."
    )


class IdentityGiven(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Identifier
    value: Identifier


class Asked(Shape):
    """An entry that was asked for. Whether it happens is judged moments later, by `reenter` and the rest."""

    event_id: UUID
    enrolment_id: UUID = Field(description="The id that the enrolment has, if it begins.")
    duplicate: bool


class CrowdRequest(BaseModel):
    """Who is to enter: `all`, who has a `tag`, is in a `segment`, for whom a condition holds (`where`), or
    those named by `identities` and `profile_ids`. None of them for a campaign: it names its segment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"journey": "spring-sale", "tag": "tea-lover", "properties": {"plan": "trial"}}
        },
    )

    journey: Name
    all: bool = Field(default=False, description="Every profile.")
    tag: Name | None = Field(default=None, description="Every profile that has this tag.")
    segment: Name | None = Field(default=None, description="Every profile in this segment.")
    where: Condition | None = Field(
        default=None, description="Every profile for which this condition of the journey language holds."
    )
    identities: list[IdentityGiven] | None = Field(default=None, max_length=10_000)
    profile_ids: list[UUID] | None = Field(default=None, max_length=10_000)
    properties: dict[str, Any] = Field(default_factory=dict, description="Become the trigger's properties.")

    @property
    def campaign(self) -> bool:
        """Whether it is the journey itself that says who is to enter."""
        named = (self.tag, self.segment, self.where, self.identities, self.profile_ids)
        return not self.all and all(way is None for way in named)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        listed = self.identities is not None or self.profile_ids is not None
        ways = (self.tag is not None, self.segment is not None, self.where is not None)
        if sum((self.all, *ways, listed)) > 1:
            raise ValueError("expected either all, tag, segment, where, or identities and profile_ids")
        return self


class Crowd(Shape):
    """Many profiles on their way into a journey. All of them enter at one logical instant, `entered_at`."""

    id: UUID
    journey: str = Field(examples=["spring-sale"])
    digest: str = Field(description="The version of the journey that they enter.")
    what: Literal["all", "tag", "list", "segment"]
    tag: str | None
    segment: str | None = Field(description="Null for a condition of its own.")
    where: str | None = Field(description="Of a segment: the condition, as it was when it was asked for.")
    properties: dict[str, Any]
    status: Literal["waiting", "entering", "entered", "cancelled", "failed"]
    total: int | None = Field(description="Profiles to be looked at; null until they are counted.")
    looked_at: int = Field(description="`entered`, `restarted` and all of `refused` together.")
    entered: int
    restarted: int = Field(description="Live already, with `reenter: restart`: ended and begun anew, singly.")
    refused: dict[str, int] = Field(description="By reason.", examples=[{"live": 12, "too_soon": 3}])
    unknown: int = Field(description="Of a list: entries that led to no single profile.")
    created_at: datetime
    entered_at: datetime | None
    finished_at: datetime | None
    error: str | None
    workflow_id: str = Field(description="What shows it in Temporal's interface.")


class CrowdAsked(Crowd):
    """A crowd that was asked for."""

    not_one: list[int] = Field(
        description="Places, from 0 in `identities` and on through `profile_ids`, that led to no profile."
    )


class Segment(Shape):
    """A name for customers who have something in common."""

    name: str = Field(examples=["engaged"])
    list: bool = Field(description="Who is in it was put there, instead of following from an expression.")
    where: str | None = Field(description="The expression.", examples=['count("order.paid", "90d") > 0'])


class SegmentCount(Shape):
    segment: str
    count: int
    at: datetime = Field(description="The logical instant at which it was asked.")


class SegmentPassage(Shape):
    """Somebody entered a segment or left it, at the logical instant `at`."""

    profile_id: UUID
    external_id: str | None
    entered: bool = Field(description="False: left.")
    at: datetime
    quiet: bool = Field(description="Noted without an event: when it began to be followed, or by a merge.")


class SegmentPart(Shape):
    """One part of the expression."""

    part: str = Field(examples=['count("order.paid", "90d") > 0'])
    alone: int = Field(description="Profiles for which it holds.")
    together: int = Field(description="Profiles that are left by it and all parts before it.")


class SegmentExplained(SegmentCount):
    """Which part of the expression keeps how many."""

    everybody: int
    joined_by: Literal["and", "or"]
    parts: list[SegmentPart]


class MembersRequest(BaseModel):
    """Who is put on a list, taken off it, or becomes all who are on it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"change": "add", "identities": [{"kind": "external_id", "value": "c-17"}]}
        },
    )

    change: Literal["add", "remove", "replace"] = "add"
    identities: list[IdentityGiven] = Field(default_factory=list, max_length=10_000)
    profile_ids: list[UUID] = Field(default_factory=list, max_length=10_000)


class TagsRequest(BaseModel):
    """Tags that are given and taken away."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"add": ["vip"], "expires": "30d", "by": "ada"}}
    )

    add: list[Name] = Field(default_factory=list, max_length=100)
    remove: list[Name] = Field(default_factory=list, max_length=100)
    expires: str | None = Field(
        default=None, description="They go after so long; else as the catalogue says."
    )
    by: Name | None = Field(default=None, description="Who gives them, for the record.")


class TagsChanged(Shape):
    tags: list[str]
    grants: list[TagGrant]


class MembersChanged(Shape):
    """What became of a list."""

    added: int = Field(description="Profiles that were not on it.")
    removed: int
    members: int = Field(description="On it now.")
    not_one: list[int] = Field(
        description="Places, from 0 in `identities` and on through `profile_ids`, that led to no profile."
    )


EnterRequest.model_rebuild()
