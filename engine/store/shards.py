"""Which of the router's shards a profile belongs to."""

from __future__ import annotations

from uuid import UUID

from engine.store.tables import SHARDS


def shard_of(profile_id: UUID) -> int:
    """The shard of a profile: the last bits of its (random) id. Never changes."""
    return profile_id.int % SHARDS
