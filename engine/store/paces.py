"""How fast a channel may go, for all workers together: a token bucket of one second, in one row a channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker got: `granted` messages may go, the last of them `wait` from now."""

    granted: int
    wait: timedelta = timedelta(0)


_MAKE = sa.text("INSERT INTO paces (channel, free_at) VALUES (:channel, '-infinity') ON CONFLICT DO NOTHING")

# `free_at` is the instant at which the bucket will be out of debt; a full one was that a second ago.
_TAKE = sa.text("""
    WITH g AS (
        SELECT CAST(:rate AS double precision) AS rate, CAST(:patience AS double precision) AS patience,
            CAST(:wanted AS double precision) AS wanted, CAST(:full AS double precision) AS "full"
    ), p AS (
        SELECT greatest(free_at, clock_timestamp() - make_interval(secs => g."full")) AS base
        FROM paces, g WHERE channel = :channel FOR UPDATE OF paces
    ), a AS (
        SELECT base, rate, CAST(extract(epoch FROM clock_timestamp() - base) AS double precision) AS ahead,
            wanted, patience FROM p, g
    ), s AS (
        SELECT base, rate, ahead,
            least(wanted, greatest(floor(1 + rate * (ahead + patience)), 0)) AS granted FROM a
    ), u AS (
        UPDATE paces SET free_at = s.base + make_interval(secs => s.granted / s.rate)
        FROM s WHERE channel = :channel AND s.granted > 0
    )
    SELECT granted, greatest((granted - 1) / rate - ahead, 0) AS wait FROM s
""")


async def reserve(
    connection: AsyncConnection, channel: str, rate: float, wanted: int, patience: timedelta
) -> Share:
    """Takes up to `wanted` messages of the channel's pace, `rate` a second, that may go within `patience`.

    Holds the channel's row until the transaction ends. What is taken counts whether it is used or not.
    """
    await connection.execute(_MAKE, {"channel": channel})
    values = {
        "channel": channel,
        "rate": rate,
        "full": (max(1.0, rate) - 1) / rate,
        "wanted": wanted,
        "patience": patience.total_seconds(),
    }
    row = (await connection.execute(_TAKE, values)).one()
    granted = int(row.granted)
    return Share(granted, timedelta(seconds=float(row.wait)) if granted else timedelta(0))
