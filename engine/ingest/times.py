"""Logical time as a batch of the router sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.core.advance import SLACK
from engine.store import clock
from engine.store.clock import ScaledClock

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


@dataclass(frozen=True, slots=True)
class Time:
    """The logical time of one batch.

    `now` is now; `settle_by` the instant up to which settlings are due, earlier by the grace of a scaled
    clock. With a scaled clock (`exact`) everything is given at its own instant, so that lag changes nothing.
    """

    now: datetime
    settle_by: datetime
    wall: datetime
    exact: bool = False
    scale: dict[str, Any] | None = None
    """The scaled clock for enrolments, in JSON."""

    def given_at(self, own: datetime) -> datetime:
        return own if self.exact else max(own, self.now)

    def instant(self, own: datetime) -> datetime:
        """The logical instant of something that happened at `own`: its own, unless it is late."""
        return own if self.exact or self.now - own <= SLACK else self.now


async def time_at(connection: AsyncConnection, wall: datetime) -> Time:
    """Logical time at the wall instant, as a batch sees it; no settling runs ahead of a replay."""
    ticking = await clock.load(connection)
    settle_by = ticking.logical(wall - ticking.grace)
    if ticking.scaled and (until := await clock.complete_until(connection)) is not None:
        settle_by = min(settle_by, until)
    return Time(
        now=ticking.logical(wall),
        settle_by=settle_by,
        wall=wall,
        exact=ticking.scaled,
        scale=_scale(ticking) if ticking.scaled else None,
    )


def _scale(ticking: ScaledClock) -> dict[str, Any]:
    return {
        "epoch_logical": ticking.epoch_logical.isoformat(),
        "epoch_wall": ticking.epoch_wall.isoformat(),
        "speed": ticking.speed,
        "grace_seconds": ticking.grace.total_seconds(),
    }
