"""Profiles: one row a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, rechecks, tags, webhooks
from engine.store.provenance import Provenance, Record, say, stamp
from engine.store.tags import Grant


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
    tags_expire_at: datetime | None = None
    """The first instant at which one of its tags expires."""


@dataclass(slots=True)
class Change:
    """What changes in one profile. None in `attributes` or `addresses` clears that one.

    `at` is when it was said (logical); a newer word on the same attribute stays. None is now: it counts
    whatever was said. `via` is the identity that it was said of, `kind:value`; None is the customer's
    external id.
    """

    profile_id: str
    attributes: dict[str, Any] = field(default_factory=dict, repr=False)
    addresses: dict[str, str | None] = field(default_factory=dict, repr=False)
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    external_id: str | None = None
    stage: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    at: datetime | None = None
    source: str | None = None
    confidence: float | None = None
    via: str | None = field(default=None, repr=False)
    tags_at: datetime | None = None
    """When the tags were given; None is when it was said. Without either no grant is kept of them."""
    expire: Mapping[str, datetime] = field(default_factory=dict)
    """Tags given that expire, and when."""
    first: bool = False
    """The earliest instant at which this was said counts, not the latest."""

    def words(self) -> Iterator[tuple[str, Any]]:
        """Each name as provenance has it, and its new value."""
        for name, value in self.attributes.items():
            yield attribute_name(name), value
        for kind, value in self.addresses.items():
            yield f"@{kind}", value
        for name in ("time_zone", "locale"):
            if (value := getattr(self, name)) is not None:
                yield f"@{name}", value


def attribute_name(name: str) -> str:
    """An attribute as provenance names it: `@` before a name is that of an address."""
    return f"@{name}" if name.startswith("@") else name


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
    provenance: Provenance = field(default_factory=dict, repr=False)


_MAKE_FIELDS = batch.records(id="uuid", key="text", external_id="text", addresses="jsonb", provenance="jsonb")
_MAKE = sa.text(f"""
    WITH made AS (
        INSERT INTO profiles (id, key, external_id, addresses, provenance)
        SELECT id, key, external_id, addresses, provenance FROM {_MAKE_FIELDS}
        ORDER BY key
        ON CONFLICT (key) DO NOTHING
        RETURNING id, key),
    {rechecks.noting("made")}
    SELECT id, key FROM made
""")


async def make_batch(connection: AsyncConnection, new: Sequence[NewProfile]) -> dict[str, str]:
    """Makes the profiles whose keys are new; returns the id now behind each key.

    Two transactions that make the same key at once end with one profile: the second waits for the first.
    """
    if not new:
        return {}
    values = [
        {
            "id": p.id,
            "key": p.key,
            "external_id": p.external_id,
            "addresses": p.addresses,
            "provenance": p.provenance,
        }
        for p in new
    ]
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


_UPDATE = f"""
    UPDATE profiles p SET
        attributes = (p.attributes || r.attributes) - r.cleared,
        addresses = (p.addresses || r.addresses) - r.cleared_addresses,
        provenance = (p.provenance || r.provenance) - r.cleared_provenance,
        tags = CASE WHEN r.add_tags = '{{}}' AND r.remove_tags = '{{}}' THEN p.tags ELSE ARRAY(
            SELECT t FROM unnest(p.tags || r.add_tags) t WHERE t <> ALL (r.remove_tags) GROUP BY t ORDER BY t
        ) END,
        external_id = coalesce(r.external_id, p.external_id),
        stage = coalesce(r.stage, p.stage),
        time_zone = CASE WHEN r.zone_said THEN r.time_zone ELSE p.time_zone END,
        locale = CASE WHEN r.locale_said THEN r.locale ELSE p.locale END,
        updated_at = now()
    FROM {
    batch.records(
        id="uuid",
        attributes="jsonb",
        cleared="text[]",
        addresses="jsonb",
        cleared_addresses="text[]",
        provenance="jsonb",
        cleared_provenance="text[]",
        add_tags="text[]",
        remove_tags="text[]",
        external_id="text",
        stage="text",
        zone_said="boolean",
        time_zone="text",
        locale_said="boolean",
        locale="text",
        changed="text[]",
        at="timestamptz",
    )
}
    WHERE p.id = r.id RETURNING p.id, p.external_id, p.attributes, r.changed, r.at"""
_REWRITE = sa.text(_UPDATE)
_CHANGE = sa.text(
    f"WITH changed AS ({_UPDATE}), {rechecks.noting('changed', at='changed.at')}, "
    f"told AS ({webhooks.OF_CHANGED}) {rechecks.TELL}"
)

_RECORDS = sa.text("""
    SELECT id, external_id, attributes, addresses, provenance, time_zone, locale, tags FROM profiles
    WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
""").columns(id=sa.Uuid(as_uuid=False), attributes=JSONB, addresses=JSONB, provenance=JSONB)


@dataclass(slots=True)
class Kept:
    """What is known of a profile's attributes, and where each comes from."""

    external_id: str | None
    record: Record
    tags: frozenset[str] = frozenset()


async def records(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Kept]:
    """The records of these profiles, locked until the transaction ends."""
    # Locks are taken in one order everywhere, or two batches could wait for each other.
    found = {}
    for row in await connection.execute(_RECORDS, {"ids": sorted(set(ids))}):
        record = record_of(row.attributes, row.addresses, row.provenance, row.time_zone, row.locale)
        found[row.id] = Kept(row.external_id, record, frozenset(row.tags))
    return found


def record_of(
    attributes: Mapping[str, Any],
    addresses: Mapping[str, str],
    provenance: Provenance,
    time_zone: str | None,
    locale: str | None,
) -> Record:
    """A profile's columns as one record."""
    values: dict[str, Any] = {attribute_name(name): value for name, value in attributes.items()}
    values |= {f"@{kind}": value for kind, value in addresses.items()}
    where = {"@time_zone": time_zone, "@locale": locale}
    return Record(values | {n: v for n, v in where.items() if v is not None}, provenance)


async def provenance(connection: AsyncConnection, profile_id: str) -> Provenance:
    """Who said what of each attribute, and when (`engine.store.provenance`); empty for nobody."""
    statement = sa.text("SELECT provenance FROM profiles WHERE id = :id").columns(provenance=JSONB)
    found: Provenance | None = (await connection.execute(statement, {"id": profile_id})).scalar_one_or_none()
    return found or {}


@dataclass(slots=True)
class _Edit:
    names: set[str] = field(default_factory=set)
    before: dict[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    external_id: str | None = None
    stage: str | None = None
    at: datetime | None = None
    """The last instant at which something changed."""
    grants: dict[str, Grant | None] = field(default_factory=dict)
    """Tags given and taken away, in the end."""

    def take(self, change: Change) -> None:
        at = change.tags_at or change.at
        self.at = max(filter(None, (self.at, at)), default=None)
        for tag in change.add_tags:
            expires_at = change.expire.get(tag)
            grant = Grant(change.profile_id, tag, change.source, at, expires_at) if at is not None else None
            self.grants[tag] = grant
        self.grants |= dict.fromkeys(change.remove_tags)
        self.add_tags = tuple(t for t in self.add_tags if t not in change.remove_tags) + change.add_tags
        gone = tuple(t for t in self.remove_tags if t not in change.add_tags)
        self.remove_tags = gone + change.remove_tags
        self.external_id = change.external_id or self.external_id
        self.stage = change.stage or self.stage

    def changed(self, record: Record) -> list[str]:
        """Names of what is not as it was, as `identify` calls them."""
        found = {
            name.removeprefix("@") for name in self.names if record.values.get(name) != self.before.get(name)
        }
        if (self.tags | set(self.add_tags)) - set(self.remove_tags) != self.tags:
            found.add("tags")
        return sorted(found)


async def change_batch(
    connection: AsyncConnection, changes: Sequence[Change], sources: Sequence[str] = ()
) -> None:
    """Applies the changes. Several for one profile are applied in the order given.

    `sources` says whose word counts first of two at one instant. Webhooks are told what is not as it was.
    """
    if not changes:
        return
    kept = await records(connection, {change.profile_id for change in changes})
    edits: dict[str, _Edit] = {}
    for change in changes:
        if (known := kept.get(change.profile_id)) is None:
            continue
        edit = edits.get(change.profile_id)
        if edit is None:
            edit = _Edit(before=dict(known.record.values), tags=known.tags)
            edits[change.profile_id] = edit
        edit.take(change)
        owner = change.external_id or known.external_id
        via = change.via or (f"external_id:{owner}" if owner else "")
        for name, value in change.words():
            edit.names.add(name)
            say(
                known.record,
                name,
                value,
                at=stamp(change.at),
                via=via,
                source=change.source,
                confidence=change.confidence,
                sources=sources,
                first=change.first,
            )
    values = [
        {**_row(i, edit, kept[i].record), "changed": edit.changed(kept[i].record), "at": edit.at}
        for i, edit in edits.items()
    ]
    await connection.execute(_CHANGE, batch.rows(values))
    granted = [grant for edit in edits.values() for grant in edit.grants.values() if grant is not None]
    taken = [(i, tag) for i, edit in edits.items() for tag, grant in edit.grants.items() if grant is None]
    await tags.keep(connection, granted, taken)


async def rewrite(connection: AsyncConnection, new: Mapping[str, tuple[Record, Collection[str]]]) -> None:
    """Writes what the records say of these names, whoever said it. The caller has them looked at again."""
    values = [_row(i, _Edit(names=set(names)), record) for i, (record, names) in new.items()]
    if values:
        await connection.execute(_REWRITE, batch.rows(values))


def _row(profile_id: str, edit: _Edit, record: Record) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    addresses: dict[str, Any] = {}
    for name in edit.names:
        value = record.values.get(name)
        if name.startswith("@") and not name.startswith("@@"):
            addresses[name[1:]] = value
        else:
            attributes[name[1:] if name.startswith("@@") else name] = value
    zone, locale = "time_zone" in addresses, "locale" in addresses
    where = {n: addresses.pop(n, None) for n in ("time_zone", "locale")}
    said = {name: record.provenance[name] for name in edit.names if name in record.provenance}
    return {
        "id": profile_id,
        "attributes": {k: v for k, v in attributes.items() if v is not None},
        "cleared": [k for k, v in attributes.items() if v is None],
        "addresses": {k: v for k, v in addresses.items() if v is not None},
        "cleared_addresses": [k for k, v in addresses.items() if v is None],
        "provenance": said,
        "cleared_provenance": [name for name in edit.names if name not in said],
        "add_tags": list(edit.add_tags),
        "remove_tags": list(edit.remove_tags),
        "external_id": edit.external_id,
        "stage": edit.stage,
        "zone_said": zone,
        "locale_said": locale,
        "changed": [],
        "at": edit.at,
        **where,
    }


_RULE_TAGS = sa.text(f"""
    WITH held AS MATERIALIZED (
        SELECT p.id FROM profiles p WHERE p.id = ANY(CAST(:ids AS uuid[])) AND p.merged_into IS NULL
        ORDER BY p.id FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE profiles p SET
        tags = ARRAY(
            SELECT t FROM unnest(p.tags || r.given) t WHERE t <> ALL (r.taken) GROUP BY t ORDER BY t),
        updated_at = now()
    FROM held, {batch.records(id="uuid", given="text[]", taken="text[]")}
    WHERE p.id = held.id AND r.id = p.id RETURNING p.id
""").columns(id=sa.Uuid(as_uuid=False))


async def change_rule_tags(
    connection: AsyncConnection, given: Sequence[Grant], taken: Sequence[tuple[str, str]]
) -> set[str]:
    """Writes tags that rules keep, of (profile, tag) those that went; never waits: only the profiles given
    back could be had."""
    each: dict[str, dict[str, Any]] = {}
    for grant in given:
        row = each.setdefault(grant.profile_id, {"id": grant.profile_id, "given": [], "taken": []})
        row["given"].append(grant.tag)
    for profile_id, tag in taken:
        each.setdefault(profile_id, {"id": profile_id, "given": [], "taken": []})["taken"].append(tag)
    if not each:
        return set()
    result = await connection.execute(_RULE_TAGS, batch.rows(list(each.values())) | {"ids": sorted(each)})
    return {row.id for row in result}


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


_MERGED = sa.text("""
    SELECT id, merged_into FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) AND merged_into IS NOT NULL
""").columns(id=sa.Uuid(as_uuid=False), merged_into=sa.Uuid(as_uuid=False))


async def merged(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, str]:
    """Of these profiles those that were merged, and into which."""
    result = await connection.execute(_MERGED, {"ids": sorted(set(ids))})
    return {row.id: row.merged_into for row in result}


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
