"""Merging two profiles in the database: everything of one becomes the other's."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.shards import shard_of

_MOVES = (
    "UPDATE identities SET profile_id = :survivor WHERE profile_id = :loser",
    "UPDATE events SET profile_id = :survivor, shard = :shard WHERE profile_id = :loser",
    "UPDATE consents SET profile_id = :survivor WHERE profile_id = :loser",
    "UPDATE deliveries SET profile_id = :survivor WHERE profile_id = :loser",
    """INSERT INTO static_segments (segment, profile_id)
        SELECT segment, CAST(:survivor AS uuid) FROM static_segments WHERE profile_id = :loser
        ON CONFLICT (segment, profile_id) DO NOTHING""",
    "DELETE FROM static_segments WHERE profile_id = :loser",
    # Where both are live in a journey with the same `one_per`, the loser's enrolment stays with the loser,
    # whose row points to the survivor: it goes on to its end, under its own key.
    """UPDATE entry_states s SET profile_id = :survivor, shard = :shard
        WHERE s.profile_id = :loser AND NOT EXISTS (
            SELECT 1 FROM entry_states o WHERE o.profile_id = :survivor
            AND o.journey = s.journey AND o.one_per = s.one_per)""",
    """UPDATE enrolments e SET profile_id = :survivor, shard = :shard
        WHERE e.profile_id = :loser AND NOT (e.status = 'live' AND EXISTS (
            SELECT 1 FROM enrolments o WHERE o.profile_id = :survivor AND o.status = 'live'
            AND o.journey = e.journey AND o.one_per = e.one_per))""",
    # What the known profile (the one with an external id) says wins over what the anonymous one says.
    """UPDATE profiles s SET
            external_id = coalesce(s.external_id, l.external_id),
            attributes = CASE WHEN l.external_id IS NULL
                THEN l.attributes || s.attributes ELSE s.attributes || l.attributes END,
            addresses = CASE WHEN l.external_id IS NULL
                THEN l.addresses || s.addresses ELSE s.addresses || l.addresses END,
            tags = ARRAY(SELECT DISTINCT t FROM unnest(s.tags || l.tags) t ORDER BY t),
            stage = CASE WHEN l.external_id IS NULL
                THEN coalesce(s.stage, l.stage) ELSE coalesce(l.stage, s.stage) END,
            time_zone = CASE WHEN l.external_id IS NULL
                THEN coalesce(s.time_zone, l.time_zone) ELSE coalesce(l.time_zone, s.time_zone) END,
            locale = CASE WHEN l.external_id IS NULL
                THEN coalesce(s.locale, l.locale) ELSE coalesce(l.locale, s.locale) END,
            updated_at = now()
        FROM profiles l WHERE s.id = :survivor AND l.id = :loser""",
    """UPDATE profiles SET merged_into = :survivor, external_id = NULL, attributes = '{}', addresses = '{}',
            tags = '{}', updated_at = now() WHERE id = :loser""",
    "UPDATE profiles SET merged_into = :survivor WHERE merged_into = :loser",
)


async def merge(connection: AsyncConnection, survivor: str, loser: str) -> bool:
    """Moves everything of `loser` to `survivor`, and leaves a row that points there.

    Both rows are locked first, in order of id. False if either was merged meanwhile: then nothing changes.
    """
    locked = await connection.execute(
        sa.text(
            "SELECT id FROM profiles WHERE id IN (:survivor, :loser) AND merged_into IS NULL "
            "ORDER BY id FOR UPDATE"
        ),
        {"survivor": survivor, "loser": loser},
    )
    if len(locked.all()) != 2:
        return False
    values = {"survivor": survivor, "loser": loser, "shard": shard_of(survivor)}
    for statement in _MOVES:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        await connection.execute(sa.text(statement), used)
    return True
