"""Grants of tags: where a tag comes from, since when, and until when.

`profiles.tags` is what expressions read. A tag without a grant was there before grants were kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, rechecks

RULE: Final = "rule"
"""The source of a tag that a rule of the catalogue keeps."""
SLICE: Final = 5_000
"""Profiles whose tags one transaction takes away."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One tag of one profile. `at` and `expires_at` are logical; None: it stays."""

    profile_id: str
    tag: str
    source: str | None
    at: datetime
    expires_at: datetime | None = None


_TYPES: dict[str, Any] = {"profile_id": sa.Uuid(as_uuid=False)}
_COLUMNS = batch.columns(Grant)
_FIELDS = batch.records(
    profile_id="uuid", tag="text", source="text", at="timestamptz", expires_at="timestamptz"
)
# The newest word counts, also on how long it lasts.
_GRANT = sa.text(f"""
    INSERT INTO tag_grants AS g (profile_id, tag, source, at, expires_at)
    SELECT profile_id, tag, source, at, expires_at FROM {_FIELDS} ORDER BY profile_id, tag
    ON CONFLICT (profile_id, tag) DO UPDATE SET
        source = excluded.source, at = excluded.at, expires_at = excluded.expires_at
        WHERE g.at <= excluded.at
""")
_REVOKE = sa.text(f"""
    DELETE FROM tag_grants g USING {batch.records(profile_id="uuid", tag="text")}
    WHERE g.profile_id = r.profile_id AND g.tag = r.tag
""")
TAGGED: Final = """(p.tags @> ARRAY[CAST(:tag AS text)] AND (p.tags_expire_at IS NULL OR NOT EXISTS (
    SELECT 1 FROM tag_grants g WHERE g.profile_id = p.id AND g.tag = CAST(:tag AS text)
    AND g.expires_at <= CAST(:at AS timestamptz))))"""
"""Whether `p` has `:tag` at `:at`: one that has expired is taken away some moments later."""
_FIRST = "(SELECT min(g.expires_at) FROM tag_grants g WHERE g.profile_id = p.id)"
_SET_FIRST = sa.text(f"""
    UPDATE profiles p SET tags_expire_at = {_FIRST}
    WHERE p.id = ANY(CAST(:ids AS uuid[])) AND p.tags_expire_at IS DISTINCT FROM {_FIRST}
""")


async def keep(
    connection: AsyncConnection, given: Sequence[Grant], taken: Sequence[tuple[str, str]] = ()
) -> None:
    """Keeps grants, and forgets those of (profile, tag) that were taken away.

    For whoever writes `profiles.tags` in the same transaction, and has the profiles locked.
    """
    if taken:
        await connection.execute(_REVOKE, batch.rows([{"profile_id": p, "tag": t} for p, t in taken]))
    if given:
        await connection.execute(
            _GRANT, batch.rows([{n: getattr(g, n) for n in Grant.__slots__} for g in given])
        )
    if given or taken:
        await set_first(connection, {*(g.profile_id for g in given), *(p for p, _ in taken)})


async def set_first(connection: AsyncConnection, profile_ids: Iterable[str]) -> None:
    """Notes on each profile the first instant at which one of its tags expires."""
    await connection.execute(_SET_FIRST, {"ids": sorted(set(profile_ids))})


async def of_profiles(connection: AsyncConnection, profile_ids: Iterable[str]) -> dict[str, list[Grant]]:
    """The grants of each profile, by tag; profiles without any are left out."""
    result = await connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM tag_grants WHERE profile_id = ANY(CAST(:ids AS uuid[])) "
            "ORDER BY profile_id, tag"
        ).columns(**_TYPES),
        {"ids": sorted(set(profile_ids))},
    )
    found: dict[str, list[Grant]] = {}
    for row in result.mappings():
        found.setdefault(row["profile_id"], []).append(batch.build(Grant, row))
    return found


# What has expired goes at its own instant, however late somebody comes to it.
_EXPIRE = sa.text(f"""
    WITH due AS MATERIALIZED (
        SELECT id FROM profiles WHERE tags_expire_at <= :now AND merged_into IS NULL
        ORDER BY tags_expire_at LIMIT :most FOR UPDATE SKIP LOCKED),
    gone AS (
        DELETE FROM tag_grants g USING due WHERE g.profile_id = due.id AND g.expires_at <= :now
        RETURNING g.profile_id, g.tag, g.expires_at),
    each AS (
        SELECT d.id, coalesce(array_agg(g.tag) FILTER (WHERE g.tag IS NOT NULL), '{{}}') AS tags,
            max(g.expires_at) AS at
        FROM due d LEFT JOIN gone g ON g.profile_id = d.id GROUP BY d.id),
    changed AS (
        UPDATE profiles p SET
            tags = ARRAY(SELECT t FROM unnest(p.tags) t WHERE t <> ALL (each.tags) ORDER BY t),
            tags_expire_at = (
                SELECT min(g.expires_at) FROM tag_grants g
                WHERE g.profile_id = p.id AND g.expires_at > :now),
            updated_at = now()
        FROM each WHERE p.id = each.id RETURNING p.id, each.at),
    {rechecks.noting("changed", at="changed.at")}
    SELECT (SELECT count(*) FROM due) AS seen, (SELECT count(*) FROM gone) AS gone
""")


async def expire(connection: AsyncConnection, now: datetime, most: int = SLICE) -> tuple[int, int]:
    """Takes away tags that have expired at the logical instant `now`: how many profiles, how many tags."""
    row = (await connection.execute(_EXPIRE, {"now": now, "most": most})).one()
    return int(row.seen), int(row.gone)
