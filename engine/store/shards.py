"""Which of the router's shards a profile belongs to."""

from __future__ import annotations

from engine.store.tables import SHARDS


def shard_of(profile_id: str) -> int:
    """The shard of a profile: the last bits of its (random) id. Never changes."""
    return int(profile_id[-2:], 16) % SHARDS
