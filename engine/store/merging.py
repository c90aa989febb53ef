"""Merging two profiles in the database: everything of one becomes the other's, and can be given back.

A live enrolment in a journey that the survivor is in too (with the same `one_per`) stays with the loser,
whose row points to the survivor: `engine.ingest.merging` ends one of the two in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import jsonb, profiles, rechecks, tags, webhooks
from engine.store.provenance import Record, joined, parted
from engine.store.routing import hold_shards
from engine.store.shards import shard_of

_FREE = """NOT (e.status = 'live' AND EXISTS (
    SELECT 1 FROM enrolments o WHERE o.profile_id = :survivor AND o.status = 'live'
    AND o.journey = e.journey AND o.one_per = e.one_per))"""
_MOVED: Final = {
    "identities": "UPDATE identities SET profile_id = :survivor WHERE profile_id = :loser"
    " RETURNING jsonb_build_array(kind, value)",
    "events": "UPDATE events SET profile_id = :survivor, shard = :shard WHERE profile_id = :loser"
    " RETURNING to_jsonb(event_id)",
    "consents": "UPDATE consents SET profile_id = :survivor WHERE profile_id = :loser RETURNING to_jsonb(id)",
    "deliveries": "UPDATE deliveries SET profile_id = :survivor WHERE profile_id = :loser"
    " RETURNING to_jsonb(id)",
    "enrolments": f"UPDATE enrolments e SET profile_id = :survivor, shard = :shard"
    f" WHERE e.profile_id = :loser AND {_FREE} RETURNING to_jsonb(e.id)",
    "segments": """INSERT INTO static_segments (segment, profile_id)
        SELECT segment, CAST(:survivor AS uuid) FROM static_segments WHERE profile_id = :loser
        ON CONFLICT (segment, profile_id) DO NOTHING RETURNING to_jsonb(segment)""",
}
"""What goes over, and how each row that did is named."""
_MOVES: Final = (
    "DELETE FROM static_segments WHERE profile_id = :loser",
    "DELETE FROM rfm WHERE profile_id = :loser",
    # What entry remembers counts for the one customer that there is now; of two that settle the last trigger.
    """UPDATE entry_states s SET
            (pending_id, pending_at, pending_order, due_at) = (
                SELECT p.pending_id, p.pending_at, p.pending_order, p.due_at
                FROM (VALUES (s.pending_id, s.pending_at, s.pending_order, s.due_at),
                             (l.pending_id, l.pending_at, l.pending_order, l.due_at))
                    AS p(pending_id, pending_at, pending_order, due_at)
                ORDER BY p.pending_at DESC NULLS LAST, p.pending_order DESC LIMIT 1),
            live_id = coalesce(s.live_id, l.live_id),
            entered_at = greatest(s.entered_at, l.entered_at), entered = s.entered + l.entered,
            ended_at = greatest(s.ended_at, l.ended_at), contested = s.contested || l.contested
        FROM entry_states l WHERE s.profile_id = :survivor AND l.profile_id = :loser
            AND s.journey = l.journey AND s.one_per = l.one_per""",
    """DELETE FROM entry_states l USING entry_states s WHERE s.profile_id = :survivor
        AND l.profile_id = :loser AND s.journey = l.journey AND s.one_per = l.one_per""",
    "UPDATE entry_states SET profile_id = :survivor, shard = :shard WHERE profile_id = :loser",
    # Who one of the two was is no news of the one that there is now: it is noted without events.
    """WITH gone AS (DELETE FROM memberships WHERE profile_id = :loser RETURNING segment, since_at),
        come AS (
            INSERT INTO memberships (segment, profile_id, since_at)
            SELECT segment, CAST(:survivor AS uuid), since_at FROM gone
            ON CONFLICT (segment, profile_id) DO NOTHING RETURNING segment)
        INSERT INTO membership_changes (segment, profile_id, entered, at, quiet)
        SELECT segment, CAST(:loser AS uuid), false, CAST(:at AS timestamptz), true FROM gone
        UNION ALL SELECT segment, CAST(:survivor AS uuid), true, CAST(:at AS timestamptz), true FROM come""",
    """WITH gone AS (DELETE FROM stages WHERE profile_id = :loser RETURNING stage, since_at),
        come AS (
            INSERT INTO stages (profile_id, stage, since_at)
            SELECT CAST(:survivor AS uuid), stage, since_at FROM gone
            ON CONFLICT (profile_id) DO NOTHING RETURNING stage)
        INSERT INTO stage_changes (profile_id, before, stage, at, quiet)
        SELECT CAST(:loser AS uuid), stage, NULL, CAST(:at AS timestamptz), true FROM gone
        UNION ALL SELECT CAST(:survivor AS uuid), NULL, stage, CAST(:at AS timestamptz), true FROM come""",
    """INSERT INTO tag_grants AS g (profile_id, tag, source, at, expires_at)
        SELECT CAST(:survivor AS uuid), tag, source, at, expires_at FROM tag_grants WHERE profile_id = :loser
        ON CONFLICT (profile_id, tag) DO UPDATE SET
            source = excluded.source, at = excluded.at, expires_at = excluded.expires_at
            WHERE g.at < excluded.at""",
    "DELETE FROM tag_grants WHERE profile_id = :loser",
    """INSERT INTO audience_members AS m (audience, profile_id, digests, since_at, recheck)
        SELECT audience, CAST(:survivor AS uuid), digests, since_at, true
        FROM audience_members WHERE profile_id = :loser
        ON CONFLICT (audience, profile_id) DO UPDATE SET recheck = true, digests = ARRAY(
            SELECT DISTINCT d FROM unnest(m.digests || excluded.digests) d ORDER BY d)""",
    "DELETE FROM audience_members WHERE profile_id = :loser",
    "UPDATE audience_changes SET profile_id = :survivor WHERE profile_id = :loser",
    """UPDATE profiles s SET
            external_id = coalesce(s.external_id, l.external_id),
            tags = ARRAY(SELECT DISTINCT t FROM unnest(s.tags || l.tags) t ORDER BY t),
            stage = CASE WHEN l.external_id IS NULL
                THEN coalesce(s.stage, l.stage) ELSE coalesce(l.stage, s.stage) END
        FROM profiles l WHERE s.id = :survivor AND l.id = :loser""",
    """UPDATE profiles SET merged_into = :survivor, external_id = NULL, attributes = '{}', addresses = '{}',
            provenance = '{}', tags = '{}', tags_expire_at = NULL, time_zone = NULL, locale = NULL,
            updated_at = now()
        WHERE id = :loser""",
    "UPDATE profiles SET merged_into = :survivor WHERE merged_into = :loser",
)
_ROW: Final = """jsonb_build_object('external_id', p.external_id, 'attributes', p.attributes,
    'addresses', p.addresses, 'provenance', p.provenance, 'tags', to_jsonb(p.tags), 'stage', p.stage,
    'lists', (SELECT coalesce(jsonb_agg(s.segment), '[]') FROM static_segments s WHERE s.profile_id = p.id),
    'time_zone', p.time_zone, 'locale', p.locale, 'grants', (
        SELECT coalesce(jsonb_agg(to_jsonb(g)), '[]') FROM tag_grants g WHERE g.profile_id = p.id))"""
_KEEP = sa.text(f"""
    INSERT INTO merges (survivor, loser, at, before)
    SELECT :survivor, :loser, :at,
        jsonb_build_object('survivor', (SELECT {_ROW} FROM profiles p WHERE p.id = :survivor),
                           'loser', (SELECT {_ROW} FROM profiles p WHERE p.id = :loser))
    RETURNING id
""")


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge that was done, or undone. `at` is logical. Times of the wall: `merged_at`, `undone_at`."""

    id: int
    survivor: str
    loser: str
    at: datetime
    merged_at: datetime
    undone_at: datetime | None
    undone_by: str | None
    before: dict[str, Any] = field(repr=False)


_COLUMNS = "id, survivor, loser, at, merged_at, undone_at, undone_by, before"
_TYPES: dict[str, Any] = {
    "survivor": sa.Uuid(as_uuid=False),
    "loser": sa.Uuid(as_uuid=False),
    "before": JSONB,
}


async def merge(
    connection: AsyncConnection,
    survivor: str,
    loser: str,
    at: datetime | None = None,
    sources: Sequence[str] = (),
) -> int | None:
    """Moves everything of `loser` to `survivor`, leaves a row that points there, and keeps how it was.

    Both profiles are locked first, in order of id, and no router is at either. Returns the merge's id; None
    if either was merged meanwhile: then nothing changes.
    """
    ids = {"survivor": survivor, "loser": loser}
    locked = await connection.execute(
        sa.text(
            "SELECT id FROM profiles WHERE id IN (:survivor, :loser) AND merged_into IS NULL "
            "ORDER BY id FOR UPDATE"
        ),
        ids,
    )
    if len(locked.all()) != 2:
        return None
    await hold_shards(connection, {shard_of(survivor), shard_of(loser)})
    at = at or datetime.now(UTC)
    kept = await connection.execute(_KEEP, ids | {"at": at})
    merge_id: int = kept.scalar_one()
    known = await profiles.records(connection, (survivor, loser))
    both = joined(known[survivor].record, known[loser].record, sources)
    values = ids | {"shard": shard_of(survivor), "at": at}
    moved = {name: await _returned(connection, statement, values) for name, statement in _MOVED.items()}
    for statement in _MOVES:
        await connection.execute(sa.text(statement), _used(statement, values))
    await tags.set_first(connection, [survivor])
    await rechecks.add(connection, [survivor], at)
    await profiles.rewrite(connection, {survivor: (both, both.values.keys() | both.provenance.keys())})
    await connection.execute(
        sa.text("""UPDATE merges SET before = before || jsonb_build_object('moved', CAST(:moved AS jsonb))
                   WHERE id = :id"""),
        {"id": merge_id, "moved": jsonb.dumps(moved)},
    )
    told = webhooks.Change(webhooks.MERGED, survivor, at or datetime.now(UTC), {"merged": loser})
    await webhooks.offer(connection, [told])
    return merge_id


def _used(statement: str, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f":{name}" in statement}


async def _returned(connection: AsyncConnection, statement: str, values: dict[str, Any]) -> list[Any]:
    result = await connection.execute(sa.text(statement), _used(statement, values))
    return [row[0] for row in result]


async def get(connection: AsyncConnection, merge_id: int, *, lock: bool = False) -> Merge | None:
    """A merge by its id."""
    suffix = "FOR UPDATE" if lock else ""
    found = await connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM merges WHERE id = :id {suffix}").columns(**_TYPES), {"id": merge_id}
    )
    row = found.one_or_none()
    return None if row is None else Merge(*row)


async def survivors(connection: AsyncConnection, merges: Sequence[int]) -> set[str]:
    """Into whom others were merged."""
    found = await connection.execute(
        sa.text("SELECT survivor FROM merges WHERE id = ANY(CAST(:ids AS bigint[]))").columns(**_TYPES),
        {"ids": list(merges)},
    )
    return {row.survivor for row in found}


async def of_profile(
    connection: AsyncConnection, profile_id: str | None = None, limit: int = 50
) -> list[Merge]:
    """The last merges (of one profile, on either side), newest first."""
    clause = "" if profile_id is None else "WHERE survivor = :profile OR loser = :profile"
    values: dict[str, Any] = {"limit": limit} | ({} if profile_id is None else {"profile": profile_id})
    statement = sa.text(f"SELECT {_COLUMNS} FROM merges {clause} ORDER BY id DESC LIMIT :limit")
    return [Merge(*row) for row in await connection.execute(statement.columns(**_TYPES), values)]


# --- undoing --------------------------------------------------------------------------------------------

_BACK: Final = {
    "events": """UPDATE events SET profile_id = :loser, shard = :shard
        WHERE profile_id = :survivor AND event_id = ANY(CAST(:ids AS uuid[]))""",
    "consents": """UPDATE consents SET profile_id = :loser
        WHERE profile_id = :survivor AND id = ANY(CAST(:ids AS bigint[]))""",
    "deliveries": """UPDATE deliveries SET profile_id = :loser
        WHERE profile_id = :survivor AND id = ANY(CAST(:ids AS uuid[]))""",
    "enrolments": """UPDATE enrolments SET profile_id = :loser, shard = :shard
        WHERE profile_id = :survivor AND id = ANY(CAST(:ids AS uuid[]))""",
    "segments": """WITH gone AS (DELETE FROM static_segments
            WHERE profile_id = :survivor AND segment = ANY(CAST(:ids AS text[])) RETURNING segment)
        INSERT INTO static_segments (segment, profile_id) SELECT segment, CAST(:loser AS uuid) FROM gone
        ON CONFLICT DO NOTHING""",
}
_ENTRIES: Final = (
    """INSERT INTO entry_states (journey, profile_id, one_per, shard, live_id, entered_at, entered)
        SELECT e.journey, e.profile_id, e.one_per, e.shard, e.id, e.entered_at, 1 FROM enrolments e
        JOIN entry_states s ON s.profile_id = :survivor AND s.live_id = e.id
        WHERE e.profile_id = :loser AND e.status = 'live' ON CONFLICT DO NOTHING""",
    """UPDATE entry_states s SET live_id = NULL FROM enrolments e
        WHERE s.profile_id = :survivor AND s.live_id = e.id AND e.profile_id = :loser""",
)
# Nobody can tell whose hashes are whose: what is said of either is to take both off.
_AUDIENCES: Final = """INSERT INTO audience_members (audience, profile_id, digests, since_at, recheck)
    SELECT audience, CAST(:loser AS uuid), digests, since_at, true
    FROM audience_members WHERE profile_id = :survivor ON CONFLICT DO NOTHING"""
_GRANTED: Final = (
    "jsonb_to_recordset(CAST({} AS jsonb)) "
    "AS r(tag text, source text, at timestamptz, expires_at timestamptz)"
)
_GRANTS_BACK: Final = (
    f"""INSERT INTO tag_grants (profile_id, tag, source, at, expires_at)
        SELECT CAST(:loser AS uuid), tag, source, at, expires_at FROM {_GRANTED.format(":was")}
        ON CONFLICT DO NOTHING""",
    # What the survivor has from the loser alone goes; what was said since stays.
    f"""DELETE FROM tag_grants g USING {_GRANTED.format(":was")}
        WHERE g.profile_id = :survivor AND g.tag = r.tag AND g.at = r.at""",
    f"""INSERT INTO tag_grants (profile_id, tag, source, at, expires_at)
        SELECT CAST(:survivor AS uuid), tag, source, at, expires_at FROM {_GRANTED.format(":other")}
        WHERE EXISTS (SELECT 1 FROM profiles p WHERE p.id = :survivor AND p.tags @> ARRAY[tag])
        ON CONFLICT DO NOTHING""",
)
_RESTORE = """UPDATE profiles SET merged_into = NULL, external_id = :external_id, stage = :stage,
    tags = CAST(:tags AS text[]), updated_at = now() WHERE id = :loser"""
_REST = """UPDATE profiles SET
    external_id = CASE WHEN external_id = :external_id THEN :own ELSE external_id END,
    tags = ARRAY(SELECT t FROM unnest(tags) t WHERE t <> ALL (CAST(:tags AS text[])) ORDER BY t),
    stage = CASE WHEN stage IS NOT DISTINCT FROM :stage THEN :own_stage ELSE stage END,
    updated_at = now() WHERE id = :survivor"""
_GIVEN_SINCE = """UPDATE profiles p SET tags = ARRAY(
        SELECT t FROM (SELECT unnest(p.tags) AS t UNION
            SELECT g.tag FROM tag_grants g WHERE g.profile_id = p.id) known ORDER BY t)
    WHERE p.id = :survivor"""
_LISTS = """INSERT INTO static_segments (segment, profile_id)
    SELECT segment, CAST(:loser AS uuid) FROM unnest(CAST(:lists AS text[])) AS segment
    ON CONFLICT DO NOTHING"""


async def undo(connection: AsyncConnection, done: Merge, by: str | None, sources: Sequence[str] = ()) -> None:
    """Gives the loser back its identities, and what was said of them, also since; and what moved with it.

    What began since the merge stays with the survivor, and what has ended stays ended.
    """
    before, loser, survivor = done.before, done.loser, done.survivor
    moved: dict[str, list[Any]] = before.get("moved", {})
    known = await profiles.records(connection, (survivor, loser))
    await hold_shards(connection, {shard_of(survivor), shard_of(loser)})
    own = [(kind, value) for kind, value in moved.get("identities", ())]
    await connection.execute(
        sa.text("""UPDATE identities i SET profile_id = :loser
            FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) AS r(kind, value)
            WHERE i.kind = r.kind AND i.value = r.value AND i.profile_id = :survivor"""),
        {"loser": loser, "survivor": survivor, "kinds": [k for k, _ in own], "values": [v for _, v in own]},
    )
    for name, statement in _BACK.items():
        values = {"loser": loser, "survivor": survivor, "shard": shard_of(loser), "ids": moved.get(name, [])}
        await connection.execute(sa.text(statement), _used(statement, values))
    await connection.execute(sa.text(_AUDIENCES), {"loser": loser, "survivor": survivor})
    for statement in _ENTRIES:
        await connection.execute(sa.text(statement), {"loser": loser, "survivor": survivor})
    was, other = before["loser"], before["survivor"]
    await connection.execute(
        sa.text(_RESTORE),
        {"loser": loser, "external_id": was["external_id"], "stage": was["stage"], "tags": was["tags"]},
    )
    await connection.execute(
        sa.text(_REST),
        {
            "survivor": survivor,
            "external_id": was["external_id"],
            "own": other["external_id"],
            "stage": was["stage"],
            "own_stage": other["stage"],
            "tags": sorted(set(was["tags"]) - set(other["tags"])),
        },
    )
    grants = {"was": jsonb.dumps(was.get("grants", [])), "other": jsonb.dumps(other.get("grants", []))}
    for statement in _GRANTS_BACK:
        await connection.execute(
            sa.text(statement), _used(statement, {"loser": loser, "survivor": survivor, **grants})
        )
    await connection.execute(sa.text(_GIVEN_SINCE), {"survivor": survivor})
    await connection.execute(sa.text(_LISTS), {"loser": loser, "lists": was.get("lists", [])})
    await tags.set_first(connection, (survivor, loser))
    # That there are two again is nothing that one of them did.
    await rechecks.add(connection, (survivor, loser), quiet=True)
    stays, goes = parted(known[survivor].record, {f"{kind}:{value}" for kind, value in own}, sources)
    restored = joined(_unsourced(was), goes, sources)
    _drop_unsourced(stays, _unsourced(was), _unsourced(other))
    names = known[survivor].record.values.keys() | known[survivor].record.provenance.keys()
    await profiles.rewrite(
        connection,
        {survivor: (stays, names), loser: (restored, restored.values.keys() | restored.provenance.keys())},
    )
    await connection.execute(
        sa.text("UPDATE merges SET undone_at = now(), undone_by = :by WHERE id = :id"),
        {"id": done.id, "by": by},
    )


def _unsourced(row: dict[str, Any]) -> Record:
    """What was known of a profile before it was kept who said so."""
    record = profiles.record_of(
        row["attributes"], row["addresses"], row["provenance"], row["time_zone"], row["locale"]
    )
    return parted(record, {""})[1]


def _drop_unsourced(stays: Record, went: Record, own: Record) -> None:
    for name in went.values.keys() - own.values.keys():
        entries = stays.entries(name)
        if "" in entries and entries[""][3] == went.values[name]:
            stays.put(name, {via: entry for via, entry in entries.items() if via}, ())
