"""Profiles: one row a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as stored. `addresses` holds the current address by kind (`email`, `phone`, `wechat`, …)."""

    id: str
    key: str
    external_id: str | None
    addresses: dict[str, str] = field(repr=False)
    attributes: dict[str, Any] = field(repr=False)
    tags: list[str]
    stage: str | None
    time_zone: str | None
    locale: str | None
    merged_into: str | None
    created_at: datetime
    updated_at: datetime
    last_routed_at: datetime | None


@dataclass(slots=True)
class Change:
    """What changes in one profile. None in `attributes` or `addresses` clears that one."""

    profile_id: str
    attributes: dict[str, Any] = field(default_factory=dict, repr=False)
    addresses: dict[str, str | None] = field(default_factory=dict, repr=False)
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    external_id: str | None = None
    stage: str | None = None
    time_zone: str | None = None
    locale: str | None = None

    def then(self, later: Change) -> Change:
        """Both changes as one, `later` winning."""
        return Change(
            self.profile_id,
            attributes=self.attributes | later.attributes,
            addresses=self.addresses | later.addresses,
            add_tags=tuple(t for t in self.add_tags if t not in later.remove_tags) + later.add_tags,
            remove_tags=tuple(t for t in self.remove_tags if t not in later.add_tags) + later.remove_tags,
            external_id=later.external_id or self.external_id,
            stage=later.stage or self.stage,
            time_zone=later.time_zone or self.time_zone,
            locale=later.locale or self.locale,
        )


_COLUMNS = batch.columns(Profile)

_MAKE = sa.text(f"""
    INSERT INTO profiles (id, key, external_id)
    SELECT id, key, external_id FROM {batch.records(id="uuid", key="text", external_id="text")}
    ORDER BY key
    ON CONFLICT (key) DO NOTHING
    RETURNING id, key
""")


async def make_batch(
    connection: AsyncConnection, new: Sequence[tuple[str, str, str | None]]
) -> dict[str, str]:
    """Makes the profiles (id, key, external id) whose keys are new; returns the id now behind each key.

    Two transactions that make the same key at once end with one profile: the second waits for the first.
    """
    if not new:
        return {}
    values = [{"id": i, "key": key, "external_id": external} for i, key, external in new]
    made = await connection.execute(_MAKE, batch.rows(values))
    ids = {row.key: str(row.id) for row in made}
    missing = [key for _, key, _ in new if key not in ids]
    if missing:
        found = await connection.execute(
            sa.text("SELECT key, id FROM profiles WHERE key = ANY(CAST(:keys AS text[]))"), {"keys": missing}
        )
        ids |= {row.key: str(row.id) for row in found}
    return ids


async def get_batch(
    connection: AsyncConnection, ids: Iterable[str], *, lock: bool = False
) -> dict[str, Profile]:
    """Profiles by id; unknown ids are left out. `lock` holds them until the transaction ends."""
    query = f"SELECT {_COLUMNS} FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id"
    result = await connection.execute(
        sa.text(query + (" FOR UPDATE" if lock else "")).columns(id=sa.Uuid(as_uuid=False), **_JSON),
        {"ids": sorted(set(ids))},
    )
    return {row["id"]: _profile(row) for row in result.mappings()}


_JSON: dict[str, Any] = {"addresses": JSONB, "attributes": JSONB}


def _profile(row: sa.RowMapping) -> Profile:
    return batch.build(Profile, row)


_CHANGE = sa.text(f"""
    UPDATE profiles p SET
        attributes = (p.attributes || r.attributes) - r.cleared,
        addresses = (p.addresses || r.addresses) - r.cleared_addresses,
        tags = CASE WHEN r.add_tags = '{{}}' AND r.remove_tags = '{{}}' THEN p.tags ELSE ARRAY(
            SELECT t FROM unnest(p.tags || r.add_tags) t WHERE t <> ALL (r.remove_tags) GROUP BY t ORDER BY t
        ) END,
        external_id = coalesce(r.external_id, p.external_id),
        stage = coalesce(r.stage, p.stage),
        time_zone = coalesce(r.time_zone, p.time_zone),
        locale = coalesce(r.locale, p.locale),
        updated_at = now()
    FROM {
    batch.records(
        id="uuid",
        attributes="jsonb",
        cleared="text[]",
        addresses="jsonb",
        cleared_addresses="text[]",
        add_tags="text[]",
        remove_tags="text[]",
        external_id="text",
        stage="text",
        time_zone="text",
        locale="text",
    )
}
    WHERE p.id = r.id
""")


async def change_batch(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """Applies the changes. Several for one profile are applied in the order given."""
    folded: dict[str, Change] = {}
    for change in changes:
        before = folded.get(change.profile_id)
        folded[change.profile_id] = change if before is None else before.then(change)
    if not folded:
        return
    # Locks are taken in one order everywhere, or two batches could wait for each other.
    await connection.execute(
        sa.text("SELECT 1 FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"),
        {"ids": sorted(folded)},
    )
    values = [
        {
            "id": change.profile_id,
            "attributes": {k: v for k, v in change.attributes.items() if v is not None},
            "cleared": [k for k, v in change.attributes.items() if v is None],
            "addresses": {k: v for k, v in change.addresses.items() if v is not None},
            "cleared_addresses": [k for k, v in change.addresses.items() if v is None],
            "add_tags": list(change.add_tags),
            "remove_tags": list(change.remove_tags),
            "external_id": change.external_id,
            "stage": change.stage,
            "time_zone": change.time_zone,
            "locale": change.locale,
        }
        for change in folded.values()
    ]
    await connection.execute(_CHANGE, batch.rows(values))


async def touch_routed(connection: AsyncConnection, ids: Iterable[str], at: datetime) -> None:
    """Notes when an event of these profiles was last routed."""
    await connection.execute(
        sa.text("UPDATE profiles SET last_routed_at = :at WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": sorted(set(ids)), "at": at},
    )
