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


@dataclass(slots=True)
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
_TYPES: dict[str, Any] = {
    "id": sa.Uuid(as_uuid=False),
    "merged_into": sa.Uuid(as_uuid=False),
    "addresses": JSONB,
    "attributes": JSONB,
}


@dataclass(frozen=True, slots=True)
class NewProfile:
    """A profile to be made. `key` is `engine.core.identity.profile_key` of its first identity."""

    id: str
    key: str
    external_id: str | None = None
    addresses: dict[str, str] = field(default_factory=dict, repr=False)


_MAKE = sa.text(f"""
    INSERT INTO profiles (id, key, external_id, addresses)
    SELECT id, key, external_id, addresses
    FROM {batch.records(id="uuid", key="text", external_id="text", addresses="jsonb")}
    ORDER BY key
    ON CONFLICT (key) DO NOTHING
    RETURNING id, key
""")


async def make_batch(connection: AsyncConnection, new: Sequence[NewProfile]) -> dict[str, str]:
    """Makes the profiles whose keys are new; returns the id now behind each key.

    Two transactions that make the same key at once end with one profile: the second waits for the first.
    """
    if not new:
        return {}
    values = [{"id": p.id, "key": p.key, "external_id": p.external_id, "addresses": p.addresses} for p in new]
    made = await connection.execute(_MAKE, batch.rows(values))
    ids = {row.key: str(row.id) for row in made}
    missing = [p.key for p in new if p.key not in ids]
    if missing:
        found = await connection.execute(
            sa.text("SELECT key, id FROM profiles WHERE key = ANY(CAST(:keys AS text[]))"), {"keys": missing}
        )
        ids |= {row.key: str(row.id) for row in found}
    return ids


_BY_ID = f"SELECT {_COLUMNS} FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id"
_GET = sa.text(_BY_ID).columns(**_TYPES)
_GET_LOCKED = sa.text(f"{_BY_ID} FOR UPDATE").columns(**_TYPES)


async def get_batch(
    connection: AsyncConnection, ids: Iterable[str], *, lock: bool = False
) -> dict[str, Profile]:
    """Profiles by id; unknown ids are left out. `lock` holds them until the transaction ends.

    A profile that was merged is given as it is, with `merged_into` set: see `surviving`.
    """
    result = await connection.execute(_GET_LOCKED if lock else _GET, {"ids": sorted(set(ids))})
    return {row["id"]: batch.build(Profile, row) for row in result.mappings()}


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


async def surviving(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Profile]:
    """Profiles by the id asked for: of one that was merged, the profile that it was merged into."""
    wanted = set(ids)
    found = await get_batch(connection, wanted)
    while merged := {p.merged_into for p in found.values() if p.merged_into is not None}:
        into = await get_batch(connection, merged)
        found = {i: into.get(p.merged_into or "", p) if p.merged_into else p for i, p in found.items()}
        if not into:
            break
    return found


async def by_key(connection: AsyncConnection, keys: Iterable[str]) -> dict[str, Profile]:
    """Profiles by their immutable key; unknown keys are left out."""
    result = await connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM profiles WHERE key = ANY(CAST(:keys AS text[]))").columns(**_TYPES),
        {"keys": sorted(set(keys))},
    )
    return {row["key"]: batch.build(Profile, row) for row in result.mappings()}


async def delete_batch(connection: AsyncConnection, ids: Iterable[str]) -> None:
    """Deletes profiles that nothing leads to yet. Erasing a customer is another matter."""
    if unwanted := sorted(set(ids)):
        await connection.execute(
            sa.text("DELETE FROM profiles WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": unwanted}
        )


async def touch_routed(connection: AsyncConnection, ids: Iterable[str], at: datetime) -> None:
    """Notes when an event of these profiles was last routed."""
    await connection.execute(
        sa.text("UPDATE profiles SET last_routed_at = :at WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": sorted(set(ids)), "at": at},
    )
