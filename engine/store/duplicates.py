"""Enrolments of two customers who became one, where both were under way in the same journey."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import enrolments
from engine.store.enrolments import Enrolment
from engine.store.shards import shard_of

_LEFT = sa.text("""
    SELECT l.id AS id, s.id AS other FROM merges m
    JOIN enrolments l ON l.profile_id = m.loser AND l.status = 'live'
    JOIN enrolments s ON s.profile_id = m.survivor AND s.status = 'live'
        AND s.journey = l.journey AND s.one_per = l.one_per
    WHERE m.id = ANY(CAST(:merges AS bigint[]))
""").columns(id=sa.Uuid(as_uuid=False), other=sa.Uuid(as_uuid=False))


async def live_twice(connection: AsyncConnection, merges: Sequence[int]) -> list[list[Enrolment]]:
    """Live enrolments that stand in each other's way after these merges, the first entered first."""
    pairs = [(row.id, row.other) for row in await connection.execute(_LEFT, {"merges": list(merges)})]
    found = await enrolments.get_batch(connection, {i for pair in pairs for i in pair})
    groups: dict[str, set[str]] = {}
    for one, other in pairs:
        groups.setdefault(other, {other}).add(one)
    return [
        sorted((found[i] for i in group), key=lambda each: (each.entered_at, each.id))
        for group in groups.values()
    ]


_BRING = sa.text("""
    UPDATE enrolments e SET profile_id = m.survivor, shard = :shard FROM merges m
    WHERE m.id = :merge AND e.profile_id = m.loser
    RETURNING e.id
""").columns(id=sa.Uuid(as_uuid=False))
_LIVE = sa.text("""
    UPDATE entry_states s SET live_id = e.id FROM enrolments e
    WHERE e.id = ANY(CAST(:ids AS uuid[])) AND s.profile_id = e.profile_id AND s.journey = e.journey
        AND s.one_per = e.one_per AND e.trigger_event_id IS NOT NULL
""")


async def bring_over(connection: AsyncConnection, merges: Sequence[int], staying: Collection[str]) -> None:
    """Enrolments that stayed with a loser go to the survivor; entry waits for the end of those `staying`."""
    for merge in merges:
        survivor = await connection.execute(
            sa.text("SELECT survivor FROM merges WHERE id = :merge"), {"merge": merge}
        )
        shard = shard_of(str(survivor.scalar_one()))
        await connection.execute(_BRING, {"merge": merge, "shard": shard})
    if staying:
        await connection.execute(_LIVE, {"ids": sorted(staying)})
