"""Working off what providers called us with, a batch at a time.

A batch is one transaction: what comes of its rows, and that they are gone. One that is cut off is taken
again by whoever comes next, and what it makes is known by ids, so nothing is there twice. A batch that fails
is tried row by row, and the row that fails alone is parked: it must not stop the others.

A receipt may be here before its message is settled, or after the settling died. It waits, with growing
pauses, for `PATIENCE`; then nobody knows its message, and it is parked too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from engine.delivery.inbound import NOBODY, Came, take_in
from engine.delivery.receipts import Said, apply_receipts
from engine.delivery.told import RECEIPT, inbound_of, receipt_of
from engine.ingest.heeded import Heeded
from engine.ingest.normalise import OLDEST
from engine.store import clock, heard
from engine.store.clock import ScaledClock
from engine.store.database import in_transaction, is_outage
from engine.store.heard import HeardRow

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

BATCH: Final = 500
PATIENCE: Final = timedelta(minutes=15)
LONGEST_PAUSE: Final = timedelta(minutes=1)
NO_MESSAGE: Final = "no message of ours"
UNREADABLE: Final = "it cannot be read"


@dataclass(slots=True)
class WorkedOff:
    """How many rows were taken, how many of them wait on, and how many are parked."""

    taken: int = 0
    waiting: int = 0
    parked: int = 0


@dataclass(slots=True)
class _Batch:
    done: list[int] = field(default_factory=list)
    waiting: list[tuple[int, timedelta, str]] = field(default_factory=list)
    parked: list[tuple[int, str]] = field(default_factory=list)

    async def write(self, connection: AsyncConnection) -> WorkedOff:
        await heard.done(connection, self.done)
        await heard.put_off(connection, self.waiting)
        await heard.park(connection, self.parked)
        waiting, parked = len(self.waiting), len(self.parked)
        return WorkedOff(len(self.done) + waiting + parked, waiting, parked)


async def work_off(database: AsyncEngine, heeded: Heeded, limit: int = BATCH) -> WorkedOff:
    """Works off the next batch. Raises only what a database that is away raises."""
    ids: list[int] = []

    async def batch(connection: AsyncConnection) -> WorkedOff:
        rows = await heard.take(connection, limit)
        ids[:] = [row.id for row in rows]
        return await _work(connection, rows, heeded)

    try:
        return await in_transaction(database, batch)
    except Exception as error:
        if is_outage(error):
            raise
        log.warning("what was heard failed as a batch (%s); tried one by one", type(error).__name__)
    total = WorkedOff()
    for id in ids:
        one = await _alone(database, id, heeded)
        total.taken += one.taken
        total.waiting += one.waiting
        total.parked += one.parked
    return total


async def _alone(database: AsyncEngine, id: int, heeded: Heeded) -> WorkedOff:
    async def single(connection: AsyncConnection) -> WorkedOff:
        return await _work(connection, await heard.take_one(connection, id), heeded)

    try:
        return await in_transaction(database, single)
    except Exception as error:
        if is_outage(error):
            raise
        told = type(error).__name__  # its text may hold what a person wrote
        log.error("row %d of what was heard cannot be worked off and is parked: %s", id, told)
        await in_transaction(database, lambda connection: heard.park(connection, [(id, told)]))
        return WorkedOff(taken=1, parked=1)


async def _work(connection: AsyncConnection, rows: Sequence[HeardRow], heeded: Heeded) -> WorkedOff:
    if not rows:
        return WorkedOff()
    ticking = await clock.load(connection)
    result = _Batch()
    receipts: list[tuple[HeardRow, Said]] = []
    came: list[tuple[HeardRow, Came]] = []
    for row in rows:
        try:
            if row.kind == RECEIPT:
                receipt = receipt_of(row.payload)
                at = _instant(receipt.at, row, ticking)
                receipts.append((row, Said(row.channel, receipt, at)))
            else:
                came.append((row, _came(row, ticking)))
        except (KeyError, ValueError, TypeError, AttributeError):
            result.parked.append((row.id, UNREADABLE))
    found = await apply_receipts(connection, [each for _, each in receipts], heeded)
    for place, (row, _) in enumerate(receipts):
        if place in found:
            result.done.append(row.id)
        elif datetime.now(UTC) - row.received_at > PATIENCE and row.attempts:
            result.parked.append((row.id, NO_MESSAGE))
        else:
            pause = min(LONGEST_PAUSE, timedelta(seconds=2 ** min(row.attempts, 10)))
            result.waiting.append((row.id, pause, NO_MESSAGE))
    nobody = await take_in(connection, [each for _, each in came]) if came else set()
    for place, (row, _) in enumerate(came):
        if place in nobody:
            result.parked.append((row.id, NOBODY))
        else:
            result.done.append(row.id)
    return await result.write(connection)


def _came(row: HeardRow, ticking: ScaledClock) -> Came:
    inbound = inbound_of(row.payload, row.message_id or "")
    at = _instant(inbound.at, row, ticking)
    return Came(row.channel, row.adapter, inbound, at, ticking.logical(row.received_at))


def _instant(at: datetime, row: HeardRow, ticking: ScaledClock) -> datetime:
    """The provider's instant as a logical one. One that cannot be is that at which we were told."""
    if not row.received_at - OLDEST <= at <= row.received_at:
        at = row.received_at
    return ticking.logical(at)
