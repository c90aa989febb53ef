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
    WITH p AS (
        SELECT greatest(free_at, clock_timestamp() - make_interval(secs =>
            (CAST(:burst AS double precision) - 1) / CAST(:rate AS double precision))) AS base
        FROM paces WHERE channel = :channel FOR UPDATE
    ), g AS (
        SELECT base, least(CAST(:wanted AS double precision), greatest(CAST(0 AS double precision), floor(1 + CAST(:rate AS double precision) * (
            CAST(extract(epoch FROM clock_timestamp() - base) AS double precision)
            + CAST(:patience AS double precision))))) AS granted FROM p
    ), u AS (
        UPDATE paces SET free_at = g.base + make_interval(secs => g.granted / CAST(:rate AS double precision))
        FROM g WHERE channel = :channel AND g.granted > 0
    )
    SELECT granted, greatest(0, extract(epoch FROM
        base + make_interval(secs => (granted - 1) / CAST(:rate AS double precision)) - clock_timestamp())) AS wait FROM g
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
        "burst": max(1.0, rate),
        "wanted": wanted,
        "patience": patience.total_seconds(),
    }
    row = (await connection.execute(_TAKE, values)).one()
    granted = int(row.granted)
    return Share(granted, timedelta(seconds=float(row.wait)) if granted else timedelta(0))
