"""Static membership of segments (`list: true` in the catalogue)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, crowd_members, rechecks
from engine.store.crowd_members import Added, Sought

_FIELDS = batch.records(segment="text", profile_id="uuid")


async def add_batch(connection: AsyncConnection, members: Sequence[tuple[str, str]]) -> None:
    """Adds (segment, profile) pairs; being in already is no mistake."""
    if members:
        await connection.execute(
            sa.text(f"""
                WITH new AS (
                    INSERT INTO static_segments (segment, profile_id)
                    SELECT segment, profile_id FROM {_FIELDS}
                    ON CONFLICT (segment, profile_id) DO NOTHING RETURNING profile_id),
                {rechecks.noting("new", "profile_id")}
                {rechecks.TELL}
            """),
            batch.rows([{"segment": s, "profile_id": p} for s, p in members]),
        )


async def remove_batch(connection: AsyncConnection, members: Sequence[tuple[str, str]]) -> None:
    """Removes (segment, profile) pairs; not being in is no mistake."""
    if members:
        await connection.execute(
            sa.text(
                f"WITH gone AS (DELETE FROM static_segments s USING {_FIELDS} "
                "WHERE s.segment = r.segment AND s.profile_id = r.profile_id RETURNING s.profile_id), "
                f"{rechecks.noting('gone', 'profile_id')} {rechecks.TELL}"
            ),
            batch.rows([{"segment": s, "profile_id": p} for s, p in members]),
        )


async def of_profiles(connection: AsyncConnection, profile_ids: Iterable[str]) -> dict[str, set[str]]:
    """The static segments of each profile; profiles in none are left out."""
    result = await connection.execute(
        sa.text(
            "SELECT profile_id, segment FROM static_segments WHERE profile_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": sorted(set(profile_ids))},
    )
    found: dict[str, set[str]] = {}
    for row in result:
        found.setdefault(str(row.profile_id), set()).add(row.segment)
    return found


_ADD = sa.text(f"""
    WITH {crowd_members.FOUND},
    added AS (
        INSERT INTO static_segments (segment, profile_id)
        SELECT DISTINCT CAST(:segment AS text), ids[1] FROM found WHERE cardinality(ids) = 1
        ON CONFLICT DO NOTHING RETURNING profile_id),
    {rechecks.noting("added", "profile_id")}
    {crowd_members.NOT_ONE}
""")
_REMOVE = sa.text(f"""
    WITH {crowd_members.FOUND},
    added AS (
        DELETE FROM static_segments s USING found f
        WHERE cardinality(f.ids) = 1 AND s.profile_id = f.ids[1] AND s.segment = :segment
        RETURNING s.profile_id),
    {rechecks.noting("added", "profile_id")}
    {crowd_members.NOT_ONE}
""")


async def add_named(connection: AsyncConnection, segment: str, sought: Sequence[Sought]) -> Added:
    """Puts customers on a list. `added` are new on it."""
    values = {"segment": segment, **crowd_members.wanted(sought)}
    return crowd_members.added(await connection.execute(_ADD, values))


async def remove_named(connection: AsyncConnection, segment: str, sought: Sequence[Sought]) -> Added:
    """Takes customers off a list. `added` are those who were on it."""
    values = {"segment": segment, **crowd_members.wanted(sought)}
    return crowd_members.added(await connection.execute(_REMOVE, values))


async def clear(connection: AsyncConnection, segment: str) -> int:
    """Empties a list; how many were on it."""
    result = await connection.execute(
        sa.text(f"""
            WITH gone AS (DELETE FROM static_segments WHERE segment = :segment RETURNING profile_id),
            {rechecks.noting("gone", "profile_id")}
            SELECT count(*) FROM gone
        """),
        {"segment": segment},
    )
    return int(result.scalar_one())


async def members(connection: AsyncConnection, segment: str) -> int:
    """How many are on a list."""
    result = await connection.execute(
        sa.text("SELECT count(*) FROM static_segments WHERE segment = :segment"), {"segment": segment}
    )
    return int(result.scalar_one())
