"""The pool's activities: a turn at a shard, and a count."""

from __future__ import annotations

from temporalio import activity

from engine.pool.ports import PoolPorts
from engine.pool.shards import Shards
from engine.pool.turn import take_turn
from engine.pool.workflow import COUNT, TURN, Counted, ShardInput
from engine.store import pool
from engine.store.pool import Standing
from engine.temporal.activities import saying_so


class PoolActivities:
    def __init__(self, ports: PoolPorts, shards: Shards) -> None:
        self._ports = ports
        self._shards = shards

    @activity.defn(name=TURN)
    async def turn(self, given: ShardInput) -> Counted:
        """Works at a shard while anything is due, and a little longer."""
        with saying_so():
            found = await take_turn(
                self._ports,
                self._shards,
                given.journey,
                given.shard,
                stopping=activity.is_worker_shutdown,
            )
        if not found.held or found.standing is None:
            return Counted(held=False)
        return _counted(found.standing)

    @activity.defn(name=COUNT)
    async def count(self, journey: str) -> Counted:
        """How the rows of a journey stand."""
        async with self._ports.database.connect() as connection:
            return _counted(await pool.standing(connection, journey, None, self._ports.wall()))


def _counted(found: Standing) -> Counted:
    next_at = None if found.next_at is None else found.next_at.isoformat()
    return Counted(found.live, found.due, found.late, next_at)
