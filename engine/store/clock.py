"""The scaled clock: logical time as a straight line over wall time.

One row in the database says where the line begins and how steep it is; without it logical time is wall
time. Deadlines, traces and reports are logical. Tokens, retries and time-outs stay on wall time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import tables

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """`speed` is logical seconds a wall second.

    `grace` is how much wall time later than its scaled deadline a timer fires, while its logical time stays
    the deadline; it keeps lag from changing outcomes. Real time has speed 1 and no grace.
    """

    epoch_logical: datetime = _EPOCH
    epoch_wall: datetime = _EPOCH
    speed: float = 1.0
    grace: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.epoch_logical.tzinfo is None or self.epoch_wall.tzinfo is None:
            raise ValueError("the epochs of a clock need a time zone")
        if not self.speed > 0:
            raise ValueError(f"the speed of a clock must be above 0, not {self.speed}")

    @property
    def scaled(self) -> bool:
        """Whether logical time differs from wall time."""
        return self.speed != 1.0 or self.epoch_logical != self.epoch_wall

    def logical(self, wall: datetime) -> datetime:
        """The logical instant at a wall instant."""
        return self.epoch_logical + (wall - self.epoch_wall) * self.speed

    def wall(self, logical: datetime) -> datetime:
        """The wall instant at which the clock shows a logical instant."""
        return self.epoch_wall + (logical - self.epoch_logical) / self.speed

    def fires_at(self, deadline: datetime) -> datetime:
        """The wall instant at which a timer with this logical deadline fires."""
        return self.wall(deadline) + self.grace

    def now(self) -> datetime:
        """The logical instant now. Reads the wall clock of this machine."""
        return self.logical(datetime.now(UTC))


REAL_TIME = ScaledClock()


async def load(connection: AsyncConnection) -> ScaledClock:
    """The clock of this database; real time if none was set."""
    row = (await connection.execute(sa.select(tables.clock))).one_or_none()
    if row is None:
        return REAL_TIME
    return ScaledClock(row.epoch_logical, row.epoch_wall, row.speed, timedelta(seconds=row.grace_seconds))


async def save(connection: AsyncConnection, clock: ScaledClock) -> None:
    """Sets the clock of this database, for demos and tests, and tells whoever listens."""
    values = {
        "epoch_logical": clock.epoch_logical,
        "epoch_wall": clock.epoch_wall,
        "speed": clock.speed,
        "grace_seconds": clock.grace.total_seconds(),
    }
    await connection.execute(
        insert(tables.clock).values(id=1, **values).on_conflict_do_update(index_elements=["id"], set_=values)
    )
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": tables.CLOCK_CHANNEL})


async def complete(connection: AsyncConnection, until: datetime) -> None:
    """A replay has handed in every event that occurred up to the logical instant `until`.

    From the first call on no timer and no settling runs ahead of it: however slow the machine is, what
    happened before a deadline is known when the deadline is processed.
    """
    await connection.execute(tables.clock.update().values(complete_until=until))


async def complete_until(connection: AsyncConnection) -> datetime | None:
    """How far a replay has come; None where there is none."""
    found = await connection.execute(sa.select(tables.clock.c.complete_until))
    until: datetime | None = found.scalar_one_or_none()
    return until


async def caught_up(connection: AsyncConnection, enrolment_id: str, until: datetime) -> bool:
    """Whether an enrolment has been handed everything that happened up to the logical instant `until`.

    A replay has come that far, the router has taken the customer's events and judged what has settled, and
    every wake was played.
    """
    found = await connection.execute(_CAUGHT_UP, {"id": enrolment_id, "until": until})
    return bool(found.scalar_one())


_CAUGHT_UP = sa.text("""
    SELECT coalesce((SELECT complete_until >= :until FROM clock), true)
        AND NOT EXISTS (
            SELECT 1 FROM events e JOIN enrolments n ON n.profile_id = e.profile_id
            WHERE n.id = CAST(:id AS uuid) AND e.routed_at IS NULL AND e.occurred_at <= :until)
        AND NOT EXISTS (
            SELECT 1 FROM entry_states s JOIN enrolments n ON n.profile_id = s.profile_id
            WHERE n.id = CAST(:id AS uuid) AND s.due_at <= :until)
        AND NOT EXISTS (
            SELECT 1 FROM start_outbox WHERE done_at IS NULL AND enrolment_id = CAST(:id AS uuid))
""")


async def reset(connection: AsyncConnection) -> None:
    """Back to real time."""
    await connection.execute(tables.clock.delete())
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": tables.CLOCK_CHANNEL})
