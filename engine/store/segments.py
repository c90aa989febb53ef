"""Static membership of segments (`list: true` in the catalogue)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

_FIELDS = batch.records(segment="text", profile_id="uuid")


async def add_batch(connection: AsyncConnection, members: Sequence[tuple[str, str]]) -> None:
    """Adds (segment, profile) pairs; being in already is no mistake."""
    if members:
        await connection.execute(
            sa.text(f"""
                INSERT INTO static_segments (segment, profile_id) SELECT segment, profile_id FROM {_FIELDS}
                ON CONFLICT (segment, profile_id) DO NOTHING
            """),
            batch.rows([{"segment": s, "profile_id": p} for s, p in members]),
        )


async def remove_batch(connection: AsyncConnection, members: Sequence[tuple[str, str]]) -> None:
    """Removes (segment, profile) pairs; not being in is no mistake."""
    if members:
        await connection.execute(
            sa.text(
                f"DELETE FROM static_segments s USING {_FIELDS} "
                "WHERE s.segment = r.segment AND s.profile_id = r.profile_id"
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
