"""Looking at everybody: who differs from what was seen last, in one query, written slice by slice.

The difference stands in a temporary table, so the connection must stay the same from `differing` to `drop`.
Between slices anything may stop: what was written is right, and what was not still differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.expressions.sql import Column, Condition
from engine.store import batch, derived, rechecks
from engine.store.derived import MembershipChange, StageChange
from engine.store.tags import RULE

SLICE: Final = 5_000
"""Changes that one transaction writes."""

_UUID = sa.Uuid(as_uuid=False)
_ROOM = sa.text("SELECT set_config('work_mem', '256MB', true)")
"""For the one query over everybody: facts of a million customers are gathered in memory."""
_DROP = sa.text("DROP TABLE IF EXISTS differing")


async def members_differing(connection: AsyncConnection, segment: str, condition: Condition) -> int:
    """Gathers who is in a segment and was not seen there, or the other way round; how many."""
    return await _gather(
        connection,
        f"""SELECT p.id, m.profile_id IS NULL AS entered FROM profiles p {condition.joins}
            LEFT JOIN memberships m ON m.profile_id = p.id AND m.segment = :segment
            WHERE p.merged_into IS NULL AND ({condition.where} IS TRUE) <> (m.profile_id IS NOT NULL)""",
        {**condition.parameters, "segment": segment},
    )


async def stages_differing(connection: AsyncConnection, stage: Column, beginning: str | None) -> int:
    """Gathers who is in another stage than was seen last; how many."""
    return await _gather(
        connection,
        f"""SELECT id, had, before, stage FROM (
                SELECT p.id, s.profile_id IS NOT NULL AS had,
                    CASE WHEN s.profile_id IS NULL THEN CAST(:beginning AS text) ELSE s.stage END AS before,
                    CAST({stage.sql} AS text) AS stage
                FROM profiles p {stage.joins} LEFT JOIN stages s ON s.profile_id = p.id
                WHERE p.merged_into IS NULL OFFSET 0) d
            WHERE stage IS DISTINCT FROM before""",
        {**stage.parameters, "beginning": beginning},
    )


async def tagged_differing(connection: AsyncConnection, tag: str, condition: Condition | None) -> int:
    """Gathers who should have a tag that a rule keeps and does not, or the other way round; how many.

    Without a condition there is no rule any more: everybody who has it from one loses it.
    """
    if condition is None:
        text = f"""SELECT profile_id AS id, false AS entered FROM tag_grants
            WHERE tag = :tag AND source = '{RULE}'"""
        return await _gather(connection, text, {"tag": tag})
    return await _gather(
        connection,
        f"""SELECT p.id, ({condition.where} IS TRUE) AS entered FROM profiles p {condition.joins}
            WHERE p.merged_into IS NULL
            AND ({condition.where} IS TRUE) <> (p.tags @> ARRAY[CAST(:tag AS text)])""",
        {**condition.parameters, "tag": tag},
    )


async def _gather(connection: AsyncConnection, text: str, values: Mapping[str, Any]) -> int:
    await connection.execute(_DROP)
    await connection.execute(_ROOM)
    # A table is made by a statement that takes no parameters.
    filled = f"INSERT INTO differing SELECT row_number() OVER (ORDER BY d.id), d.* FROM ({text}) d"
    columns = {
        "entered": "(n bigint, profile_id uuid, entered boolean)",
        "had": "(n bigint, profile_id uuid, had boolean, before text, stage text)",
    }
    shape = columns["had" if "had, before" in text else "entered"]
    await connection.execute(sa.text(f"CREATE TEMPORARY TABLE differing {shape}"))
    found = await connection.execute(sa.text(filled), dict(values))
    await connection.execute(sa.text("CREATE INDEX ON differing (n)"))
    await connection.execute(sa.text("ANALYZE differing"))
    return found.rowcount


async def drop(connection: AsyncConnection) -> None:
    """Forgets who differs."""
    await connection.execute(_DROP)


_PART: Final = "d.n > CAST(:after AS bigint) AND d.n <= CAST(:after AS bigint) + CAST(:most AS bigint)"


def _source(columns: str) -> str:
    return f"(SELECT {columns} FROM differing d WHERE {_PART}) r"


_MEMBERS = sa.text(
    derived.membership_changes(
        _source("CAST(:segment AS text) AS segment, d.profile_id, d.entered, CAST(:at AS timestamptz) AS at"),
        "CAST(:quiet AS boolean)",
    )
).columns(profile_id=_UUID)
_STAGES = sa.text(
    derived.stage_changes(
        _source("d.profile_id, d.had, d.before, d.stage, CAST(:at AS timestamptz) AS at"),
        "CAST(:quiet AS boolean)",
    )
).columns(profile_id=_UUID)


async def write_members(
    connection: AsyncConnection, segment: str, after: int, at: datetime, *, quiet: bool
) -> list[MembershipChange]:
    """Writes the slice behind the number `after`; gives back what changed."""
    values = {"segment": segment, "after": after, "most": SLICE, "at": at, "quiet": quiet}
    result = await connection.execute(_MEMBERS, values)
    return [batch.build(MembershipChange, row) for row in result.mappings()]


async def write_stages(
    connection: AsyncConnection, beginning: str | None, after: int, at: datetime, *, quiet: bool
) -> list[StageChange]:
    """Writes the slice behind the number `after`; gives back what changed."""
    values = {"beginning": beginning, "after": after, "most": SLICE, "at": at, "quiet": quiet}
    result = await connection.execute(_STAGES, values)
    return [batch.build(StageChange, row) for row in result.mappings()]


# Locked in one order; whoever has one of them waits for nothing that is held here.
_TAGS = sa.text(f"""
    WITH held AS MATERIALIZED (
        SELECT p.id, d.entered FROM differing d JOIN profiles p ON p.id = d.profile_id
        WHERE {_PART} AND p.merged_into IS NULL AND d.entered <> (p.tags @> ARRAY[CAST(:tag AS text)])
        ORDER BY p.id FOR NO KEY UPDATE OF p),
    changed AS (
        UPDATE profiles p SET updated_at = now(), tags = CASE WHEN h.entered
            THEN ARRAY(SELECT t FROM unnest(p.tags || CAST(:tag AS text)) t GROUP BY t ORDER BY t)
            ELSE array_remove(p.tags, CAST(:tag AS text)) END
        FROM held h WHERE p.id = h.id RETURNING p.id, h.entered),
    given AS (
        INSERT INTO tag_grants AS g (profile_id, tag, source, at)
        SELECT id, CAST(:tag AS text), '{RULE}', CAST(:at AS timestamptz) FROM changed
        WHERE entered ORDER BY id
        ON CONFLICT (profile_id, tag) DO UPDATE SET source = excluded.source, at = excluded.at,
            expires_at = NULL),
    taken AS (
        DELETE FROM tag_grants g USING changed c
        WHERE NOT c.entered AND g.profile_id = c.id AND g.tag = CAST(:tag AS text)),
    {rechecks.noting("changed", at="CAST(:at AS timestamptz)")}
    SELECT count(*) FILTER (WHERE entered) AS given, count(*) FILTER (WHERE NOT entered) AS taken FROM changed
""")


async def write_tags(connection: AsyncConnection, tag: str, after: int, at: datetime) -> tuple[int, int]:
    """Gives and takes a tag, of the slice behind the number `after`; how many got it, how many lost it."""
    row = (await connection.execute(_TAGS, {"tag": tag, "after": after, "most": SLICE, "at": at})).one()
    return int(row.given), int(row.taken)
