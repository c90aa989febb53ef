"""Pausing, resuming and archiving a journey, and what becomes of those under way.

A pause holds what is under way where it stands, for any length of time: goals and exits still apply, and
entries are counted as missed. A journey that is archived takes nobody in; those under way go on unless they
are ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from engine.core.inputs import Control
from engine.ingest.manual import tell_journey
from engine.store import clock, enrolments, holds, journeys
from engine.store.database import in_transaction
from engine.store.journeys import Status

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

Action = Literal["pause", "resume", "archive"]

_BECOMES: Final[dict[Action, Status]] = {"pause": "paused", "resume": "live", "archive": "archived"}


class CannotOperate(Exception):
    """The journey was never applied, or is archived and cannot be paused."""


@dataclass(frozen=True, slots=True)
class Operated:
    """What an action did. `told` enrolments were handed a control; `under_way` are all that are live."""

    journey: str
    before: Status
    status: Status
    under_way: int
    told: int


async def operate(
    database: AsyncEngine, journey: str, action: Action, *, end: bool = False, at: datetime | None = None
) -> Operated:
    """Does it, in one transaction. The same again tells those under way again, which is harmless.

    Args:
        end: with `archive`, end those under way (exit `cancelled`).
        at: the logical instant; None is now.

    Raises:
        CannotOperate: it was never applied, or is archived and cannot be paused.
    """

    async def work(connection: AsyncConnection) -> Operated:
        await holds.hold_routers(connection)
        known = await journeys.standing(connection)
        if journey not in known:
            there = ", ".join(sorted(known)) or "none"
            raise CannotOperate(f"no journey `{journey}` was ever applied; there are: {there}")
        before, status = known[journey][0], _BECOMES[action]
        if action == "pause" and before == "archived":
            raise CannotOperate(f"`{journey}` is archived; `kairos resume {journey}` makes it live again")
        when = at or (await clock.load(connection)).now()
        await journeys.set_status(connection, [journey], status, when)
        control = _control(action, before, when, end)
        told = 0
        if control is not None:
            told = await tell_journey(connection, journey, control)
        counts = await enrolments.counts_by_digest(connection, [journey])
        return Operated(journey, before, status, sum(counts.get(journey, {}).values()), told)

    return await in_transaction(database, work)


def _control(action: Action, before: Status, at: datetime, end: bool) -> Control | None:
    """What those under way are told. Archiving a paused journey lets them go on: nobody would resume them."""
    if action == "archive":
        if end:
            return Control("end", at, "cancelled")
        return Control("resume", at) if before == "paused" else None
    return Control(action, at)
