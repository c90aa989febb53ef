"""Shapes of imports, exports and queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.api.shapes import Condition, IdentityGiven, Name, Shape


class Job(Shape):
    """A file that comes in or goes out. `at` is logical: when what it says was said."""

    id: UUID
    kind: Literal["import_customers", "import_events", "export"]
    state: Literal["waiting", "running", "done", "failed"]
    name: str | None
    at: datetime
    rows: int = Field(description="Rows that are done.")
    total: int | None = Field(description="Rows that there are, where that is known.")
    counts: dict[str, int] = Field(
        description="Of an import: `rows taken new rejected odd duplicates`.",
        examples=[{"rows": 2, "new": 2}],
    )
    error: str | None
    created_by: str | None
    created_at: datetime
    finished_at: datetime | None


class ExportRequest(BaseModel):
    """Who is exported: a `segment`, those for whom a condition holds (`where`), or `all`; and what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"segment": "engaged", "fields": ["external_id"]}},
    )

    segment: Name | None = None
    where: Condition | None = None
    all: bool = False
    fields: list[Name] | None = Field(default=None, max_length=200, description="Else the usual ones.")
    personal: bool = Field(default=False, description="With addresses and what is marked personal.")
    layout: Literal["csv", "jsonl"] = "csv"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((self.segment is not None, self.where is not None, self.all)) != 1:
            raise ValueError("expected either segment, where or all")
        return self


class QueryRequest(BaseModel):
    """Which profiles: named by `identities` and `profile_ids`, in a `segment`, or by a condition (`where`);
    and which `fields` of them. `next` is that of the page before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"segment": "engaged", "fields": ["external_id", "tags"], "limit": 50}},
    )

    identities: list[IdentityGiven] | None = Field(default=None, max_length=1_000)
    profile_ids: list[UUID] | None = Field(default=None, max_length=1_000)
    segment: Name | None = None
    where: Condition | None = None
    fields: list[Name] | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=200)
    next: str | None = Field(default=None, max_length=400)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        listed = self.identities is not None or self.profile_ids is not None
        if sum((listed, self.segment is not None, self.where is not None)) != 1:
            raise ValueError("expected either segment, where, or identities and profile_ids")
        return self


class Queried(Shape):
    """A page of profiles: of each the fields that were asked for."""

    items: list[dict[str, Any]]
    next: str | None
    not_one: list[int] = Field(
        description="Places, from 0 in `identities` and on through `profile_ids`, that led to no profile."
    )
