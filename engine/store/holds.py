"""Keeping others still while an operator changes what runs. Both holds end with the transaction."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.routing import SHARD_ROOM
from engine.store.tables import SHARDS

_APPLY: Final = 0x4B41  # "KA"

_LOCK = sa.text("SELECT pg_advisory_xact_lock(:room, :key)")


async def hold_applies(connection: AsyncConnection) -> None:
    """Waits until no other transaction applies a project, and keeps others out."""
    await connection.execute(_LOCK, {"room": _APPLY, "key": 0})


async def hold_routers(connection: AsyncConnection) -> None:
    """Waits for every router's batch to end, and holds routers off.

    Without it a batch that began before a pause could still let somebody in after it.
    """
    for shard in range(SHARDS):
        await connection.execute(_LOCK, {"room": SHARD_ROOM, "key": shard})
