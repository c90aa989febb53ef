"""One turn at a shard: batch after batch while anything is due, then a little patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final

from engine.pool.batch import BATCH, run_batch
from engine.pool.ports import PoolPorts
from engine.pool.shards import Shards
from engine.store import pool
from engine.store.pool import Standing

LONGEST: Final = 10.0
"""Seconds after which a turn ends although there is more to do, so that new workers get their share."""
LEAST: Final = 50
"""Rows of a batch whose channel is at its rate."""
PATIENCE: Final = 5.0
"""Seconds that a turn stays when nothing is due: what happens meanwhile needs no way through Temporal."""
LOOK: Final = 1.0
"""Seconds after which it is looked round without a call, in case one was missed."""
PAUSE: Final = 0.02
"""After a call, before it is looked at: what comes in meanwhile is taken together."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn came to. `held`: the shard was ours. `worked`: rows taken."""

    held: bool
    worked: int = 0
    standing: Standing | None = None


async def take_turn(
    ports: PoolPorts,
    shards: Shards,
    journey: str,
    shard: int,
    *,
    limit: int = BATCH,
    stopping: Callable[[], bool] = lambda: False,
) -> Turn:
    """Works at the shard until nothing has been due for a while, or the turn has been long enough."""
    place = (journey, shard)
    async with shards.hold(place) as held:
        if not held:
            return Turn(False)
        worked, began = 0, monotonic()
        busy_at = began
        size = limit
        while not stopping():
            ran = await run_batch(ports, journey, shard, size)
            worked += ran.taken
            # Where most must wait for a channel, it is of no use to take up many.
            size = max(size // 2, min(LEAST, limit)) if 2 * ran.put_back > size else min(2 * size, limit)
            now = monotonic()
            if ran.taken:
                busy_at = now
                if now - began > LONGEST:
                    break
                continue
            left = PATIENCE - (now - busy_at)
            until_due = await _until_due(ports, journey, shard)
            if left <= 0 or (now - began > LONGEST and (until_due is None or until_due > left)):
                break
            wait = min(left, LOOK, left if until_due is None else until_due)
            if await shards.rung(place, max(0.01, wait)):
                await shards.rung(place, PAUSE)
        return Turn(True, worked, await _standing(ports, journey, shard))


async def _until_due(ports: PoolPorts, journey: str, shard: int) -> float | None:
    async with ports.database.connect() as connection:
        next_at = await pool.next_at(connection, journey, shard)
    return None if next_at is None else _seconds(next_at, ports.wall())


async def _standing(ports: PoolPorts, journey: str, shard: int) -> Standing:
    async with ports.database.connect() as connection:
        return await pool.standing(connection, journey, shard, ports.wall())


def _seconds(instant: datetime, now: datetime) -> float:
    return max(0.0, (instant - now).total_seconds())
