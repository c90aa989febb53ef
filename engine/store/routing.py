"""Locks that keep two routers off one shard, merges off routers and crowds, and two players off the outbox.

They belong to the transaction, so a process that dies gives them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.tables import SHARDS

SHARD_ROOM: Final = 0x4B52  # "KR": first half of the key, the shard is the second
_PLAYER: Final = 0x4B50  # "KP"
_CROWDS: Final = (
    0x4B43  # "KC": slices of crowds share every shard of it, whoever moves people has theirs alone
)

_TRY = sa.text("SELECT pg_try_advisory_xact_lock(:room, :key) AS got")
_TRY_ALL = sa.text(
    "SELECT s FROM unnest(CAST(:shards AS integer[])) AS s WHERE pg_try_advisory_xact_lock(:room, s)"
)


async def try_lock(connection: AsyncConnection, shard: int) -> bool:
    """Whether this transaction has the shard from now until it ends."""
    result = await connection.execute(_TRY, {"room": SHARD_ROOM, "key": shard})
    return bool(result.scalar_one())


async def try_locks(connection: AsyncConnection, shards: Sequence[int]) -> list[int]:
    """Which of these shards this transaction has from now until it ends."""
    result = await connection.execute(_TRY_ALL, {"room": SHARD_ROOM, "shards": list(shards)})
    return [int(row.s) for row in result]


_HOLD = sa.text("""
    SELECT pg_advisory_xact_lock(room, shard)
    FROM unnest(CAST(:rooms AS integer[]), CAST(:shards AS integer[])) AS r(room, shard)
""")


async def hold_shards(connection: AsyncConnection, shards: Iterable[int]) -> None:
    """Waits until no router is in a batch of these shards and no crowd in a slice, and keeps them out until
    the end: what happens to whole customers must see every row that these have written."""
    wanted = [(room, shard) for room in (SHARD_ROOM, _CROWDS) for shard in sorted(set(shards))]
    values = {"rooms": [room for room, _ in wanted], "shards": [shard for _, shard in wanted]}
    await connection.execute(_HOLD, values)


_SHARE = sa.text(f"SELECT pg_advisory_xact_lock_shared(:room, s) FROM generate_series(0, {SHARDS - 1}) s")


async def share_shards(connection: AsyncConnection) -> None:
    """Waits until nobody holds a shard for merging or erasing, and keeps them waiting until the end. For a
    slice of a crowd, before it reads whom it lets in; slices of other crowds may go on beside it."""
    await connection.execute(_SHARE, {"room": _CROWDS})


async def try_lead(connection: AsyncConnection) -> bool:
    """Whether this transaction is the one that plays the outbox, until it ends."""
    result = await connection.execute(_TRY, {"room": _PLAYER, "key": 0})
    return bool(result.scalar_one())


async def still_leads(connection: AsyncConnection) -> None:
    """Raises if the connection that leads is gone, and with it the lead."""
    await connection.execute(sa.text("SELECT 1"))


_WAIT = sa.text(
    f"SELECT pg_advisory_lock(:room, s), pg_advisory_unlock(:room, s) FROM generate_series(0, {SHARDS - 1}) s"
)


async def wait_for_routers(connection: AsyncConnection) -> None:
    """Returns when no router is in a batch that it began before the call: those after it see what is
    committed now. Holds each shard for a moment only."""
    await connection.execute(_WAIT, {"room": SHARD_ROOM})
