"""What people have to look at: customers who look like one and must not be merged, and profiles that too many
identifiers lead to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch
from engine.store.identities import Identity

Reason = Literal["two_of_a_kind", "too_many"]
Decision = Literal["same", "apart"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at.

    `two_of_a_kind`: `one` and `two` are identifiers of `kind`, of which everybody has one, and `via` belongs
    to both. `too_many`: more identifiers of `kind` than allowed came to the customer of `one`; `via` is the
    last of them. `at` is logical.
    """

    reason: Reason
    kind: str
    one: Identity = field(repr=False)
    two: Identity | None = field(repr=False)
    via: Identity | None = field(repr=False)
    at: datetime

    @property
    def id(self) -> str:
        """The same for the same thing."""
        text = "\x00".join((self.reason, self.kind, *self.one, *(self.two or ())))
        return str(UUID(bytes=hashlib.sha256(text.encode()).digest()[:16]))


@dataclass(frozen=True, slots=True)
class Review:
    """A finding as it stands. `seen` is how often it came up."""

    id: str
    reason: Reason
    kind: str
    one_kind: str
    one_value: str = field(repr=False)
    two_kind: str | None
    two_value: str | None = field(repr=False)
    via_kind: str | None
    via_value: str | None = field(repr=False)
    seen: int
    at: datetime
    found_at: datetime
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None

    @property
    def one(self) -> Identity:
        return (self.one_kind, self.one_value)

    @property
    def two(self) -> Identity | None:
        return (self.two_kind, self.two_value) if self.two_kind and self.two_value is not None else None

    @property
    def via(self) -> Identity | None:
        return (self.via_kind, self.via_value) if self.via_kind and self.via_value is not None else None


_COLUMNS = batch.columns(Review)
_ID = sa.Uuid(as_uuid=False)
_FIELDS = batch.records(
    id="uuid",
    reason="text",
    kind="text",
    one_kind="text",
    one_value="text",
    two_kind="text",
    two_value="text",
    via_kind="text",
    via_value="text",
    at="timestamptz",
)
_ADD = sa.text(f"""
    INSERT INTO identity_reviews AS v
        (id, reason, kind, one_kind, one_value, two_kind, two_value, via_kind, via_value, at)
    SELECT id, reason, kind, one_kind, one_value, two_kind, two_value, via_kind, via_value, at
    FROM {_FIELDS} ORDER BY id
    ON CONFLICT (id) DO UPDATE SET seen = v.seen + 1, via_kind = coalesce(v.via_kind, excluded.via_kind)
""")


async def add_batch(connection: AsyncConnection, found: Iterable[Finding]) -> None:
    """Puts findings on the list; one that is there is counted, one that was decided stays decided."""
    unique = {finding.id: finding for finding in found}
    if not unique:
        return
    await connection.execute(
        _ADD,
        batch.rows(
            [
                {
                    "id": i,
                    "reason": f.reason,
                    "kind": f.kind,
                    "one_kind": f.one[0],
                    "one_value": f.one[1],
                    "two_kind": f.two[0] if f.two else None,
                    "two_value": f.two[1] if f.two else None,
                    "via_kind": f.via[0] if f.via else None,
                    "via_value": f.via[1] if f.via else None,
                    "at": f.at,
                }
                for i, f in unique.items()
            ]
        ),
    )


async def listed(
    connection: AsyncConnection,
    *,
    decided: bool = False,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> list[Review]:
    """A page of the list, the logically oldest first. `after` is (at, id) of the last one seen."""
    clauses = [f"decision IS {'NOT NULL' if decided else 'NULL'}"]
    values: dict[str, Any] = {"limit": limit}
    if after is not None:
        clauses.append("(at, id) > (:after_at, CAST(:after_id AS uuid))")
        values |= {"after_at": after[0], "after_id": after[1]}
    statement = sa.text(
        f"SELECT {_COLUMNS} FROM identity_reviews WHERE {' AND '.join(clauses)} ORDER BY at, id LIMIT :limit"
    ).columns(id=_ID)
    return [Review(*row) for row in await connection.execute(statement, values)]


async def get(connection: AsyncConnection, review_id: str, *, lock: bool = False) -> Review | None:
    """A finding by its id."""
    statement = sa.text(
        f"SELECT {_COLUMNS} FROM identity_reviews WHERE id = :id {'FOR UPDATE' if lock else ''}"
    ).columns(id=_ID)
    row = (await connection.execute(statement, {"id": review_id})).one_or_none()
    return None if row is None else Review(*row)


async def decide(connection: AsyncConnection, review_id: str, decision: Decision, by: str | None) -> None:
    """Notes what people decided."""
    await connection.execute(
        sa.text("""UPDATE identity_reviews SET decision = :decision, decided_by = :by, decided_at = now()
                   WHERE id = :id"""),
        {"id": review_id, "decision": decision, "by": by},
    )
