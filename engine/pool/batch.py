"""One batch of due rows: taken, run until nothing is left to do, stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from engine.core.commands import Ask, Perform, Send, Trace
from engine.core.driving import Course, Scale, reopened
from engine.core.inputs import Answered, Entered, Settled
from engine.core.plan import Plan
from engine.delivery import AskOrder, Order, Redirect, Retry, answer, deliver
from engine.delivery.ports import Answer
from engine.delivery.sight import Enrolment, of_row
from engine.effects import perform
from engine.ingest.close import Close, record_closes
from engine.pool.ports import PoolPorts
from engine.pool.record import Kept, fresh, pack, unpack
from engine.store import clock, enrolments, pool, traces
from engine.store.clock import ScaledClock
from engine.store.database import in_transaction, is_outage
from engine.store.enrolments import Enrolment as StoredEnrolment
from engine.store.pool import Row, Stored

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

log = logging.getLogger(__name__)

BATCH: Final = 500
SMALL: Final = 50
"""Rows of a batch that need not take its turn among the large ones."""
BEHIND: Final = timedelta(milliseconds=200)
"""Scaled clocks only: how long to wait for what has happened and was not routed yet."""
NO_CHANNEL: Final = timedelta(seconds=5)
"""How long to wait for a worker that serves the channel."""
FAULTY: Final = timedelta(seconds=1)
"""After a fault, doubled with each one."""
MOST_FAULTS: Final = 10
UNREADABLE: Final = timedelta(minutes=1)
"""How long to leave alone what cannot even be read: its plan is not there, or a newer version wrote it."""


@dataclass(slots=True)
class _One:
    """An enrolment of the batch."""

    row: Row
    enrolment: StoredEnrolment
    plan: Plan
    kept: Kept
    course: Course
    retry_at: datetime | None = None
    """Set while its command must wait for another try."""
    lines: int = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.kept.lines


@dataclass(slots=True)
class Ran:
    """How many rows a batch took, and how many of them must be tried again."""

    taken: int = 0
    put_back: int = 0


async def run_batch(ports: PoolPorts, journey: str, shard: int, limit: int = BATCH) -> Ran:
    """Takes up to `limit` due rows of a shard and brings each as far as it goes.

    A row that cannot be worked on is put off, and its enrolment ends as `failed` after a number of tries.
    Raises what the database raises when it is away: nothing is lost, and the same rows are due again.
    """
    now = ports.wall()
    async with ports.database.connect() as connection:
        ticking = await clock.load(connection)
        rows = await pool.due_batch(connection, journey, shard, now, limit)
    if len(rows) <= SMALL:
        return Ran(len(rows), await _run(ports, rows, ticking))
    async with ports.gate:
        return Ran(len(rows), await _run(ports, rows, ticking))


async def _run(ports: PoolPorts, rows: Sequence[Row], ticking: ScaledClock) -> int:
    """Runs these rows; where that fails, halves of them, so that one that is broken holds up no others.

    Returns how many must be tried again.
    """
    if not rows:
        return 0
    try:
        return await _Batch(ports, ticking).run(rows)
    except Exception as error:
        if is_outage(error):
            raise
        if len(rows) > 1:
            log.warning("a batch of %d failed (%s); it is tried in halves", len(rows), type(error).__name__)
            half = len(rows) // 2
            first = await _run(ports, rows[:half], ticking)
            return first + await _run(ports, rows[half:], ticking)
        log.exception("enrolment %s cannot be worked on and is put off", rows[0].enrolment_id)
        await _Batch(ports, ticking).put_off(rows[0], error)
        return 1


class _Batch:
    def __init__(self, ports: PoolPorts, ticking: ScaledClock) -> None:
        self.ports = ports
        self.scale = _scale(ticking) if ticking.scaled else None
        self.known: Mapping[str, Enrolment] | None = None
        """The enrolments as they were read, until an effect may have changed one or its customer."""

    async def run(self, rows: Sequence[Row]) -> int:
        """Everything about these rows; how many must be tried again."""
        found = await self.read(rows)
        now = self.ports.wall()
        for one in found:
            self.begin(one, now)
        while working := [one for one in found if one.course.command is not None and one.retry_at is None]:
            await self.work(working)
        await in_transaction(self.ports.database, lambda c: self.store(c, found))
        return sum(one.retry_at is not None for one in found)

    # --- reading ----------------------------------------------------------------------------------------

    async def read(self, rows: Sequence[Row]) -> list[_One]:
        ids = [row.enrolment_id for row in rows]
        async with self.ports.database.begin() as connection:
            known: Mapping[str, datetime] = {}
            until: datetime | None = None
            if self.scale is not None:
                # Held, so that nothing is routed to them between this look and what is read.
                rows = await pool.get_batch(connection, ids, hold=True)
                until = await clock.complete_until(connection)
            stored = await enrolments.with_profiles(connection, ids)
            if self.scale is not None:
                known = await pool.unrouted_since(connection, {row.profile_id for row, _ in stored.values()})
        self.known = {row.id: of_row(row, profile) for row, profile in stored.values()}
        digests = {row.digest for row, _ in stored.values()}
        plans = {digest: await self.ports.plan(digest) for digest in digests}
        found = []
        for row in rows:
            if row.enrolment_id not in stored:
                raise LookupError(f"the database has no enrolment {row.enrolment_id}")
            enrolment = stored[row.enrolment_id][0]
            plan = plans[enrolment.digest]
            kept = fresh(enrolment) if row.state is None else unpack(row.state, enrolment, plan)
            course = Course(kept.state, row.inbox, self.scale)
            course.known_until = _earlier(until, known.get(enrolment.profile_id))
            found.append(_One(row, enrolment, plan, kept, course))
        return found

    def begin(self, one: _One, now: datetime) -> None:
        """Tells the core what has come, and opens again what was open."""
        course = one.course
        if course.state.phase == "new":
            course.take(one.plan, Entered(one.enrolment.entered_at))
        elif (command := reopened(one.plan, course.state)) is not None:
            course.command = command
            if one.kept.retry_at is not None and one.kept.retry_at > now:
                one.retry_at = one.kept.retry_at
        course.drain(one.plan, now)

    # --- working ----------------------------------------------------------------------------------------

    async def work(self, working: Sequence[_One]) -> None:
        """Does one command of each."""
        asks: list[tuple[_One, Ask]] = []
        sends: list[tuple[_One, Send]] = []
        effects: list[tuple[_One, Perform]] = []
        now = self.ports.wall()
        for one in working:
            command, one.course.command = one.course.command, None
            assert command is not None
            if (given := one.course.stopped(command, now)) is not None:
                one.course.settle(one.plan, given, now)
                one.course.drain(one.plan, now)
            elif isinstance(command, Ask):
                asks.append((one, command))
            elif isinstance(command, Send):
                sends.append((one, command))
            else:
                effects.append((one, command))
        # One after the other: what an effect changes in a customer is seen by what comes after it.
        await self.ask(asks)
        await self.send(sends)
        await self.perform(effects)

    async def ask(self, asks: Sequence[tuple[_One, Ask]]) -> None:
        if not asks:
            return
        orders = [
            AskOrder(
                enrolment_id=one.enrolment.id,
                at=command.at,
                event_id=command.event_id,
                questions=command.questions,
            )
            for one, command in asks
        ]
        answers = await answer(self.ports.work, orders, self.known)
        now = self.ports.wall()
        for (one, command), values in zip(asks, answers, strict=True):
            given = Answered(command.ask_id, tuple(values), self.ports.work.at(command.at))
            one.course.settle(one.plan, given, now)
            one.course.drain(one.plan, now)

    async def send(self, sends: Sequence[tuple[_One, Send]]) -> None:
        if sends:
            orders = [_order(one, command, attempt=command.attempt) for one, command in sends]
            self.settle(sends, await deliver(self.ports.work, orders, self.known))

    async def perform(self, effects: Sequence[tuple[_One, Perform]]) -> None:
        if effects:
            orders = [_order(one, command) for one, command in effects]
            answers = await perform(self.ports.work, orders, self.known)
            self.known = None
            self.settle(effects, answers)

    def settle(self, done: Sequence[tuple[_One, Send | Perform]], answers: Sequence[Answer]) -> None:
        now = self.ports.wall()
        for (one, command), found in zip(done, answers, strict=True):
            if isinstance(found, Settled):
                one.course.settle(one.plan, found, now)
                one.course.drain(one.plan, now)
            else:
                one.course.command = command
                one.retry_at = now + (found.after if isinstance(found, Retry) else NO_CHANNEL)
            if isinstance(found, Redirect):
                log.warning("channel %s is not served here; its messages wait", found.channel)

    # --- writing ----------------------------------------------------------------------------------------

    async def store(self, connection: AsyncConnection, found: Sequence[_One]) -> None:
        """Writes what became of the batch. Rows that somebody else has worked on are left to them."""
        ended = [one for one in found if one.course.exited is not None]
        going = [one for one in found if one.course.exited is None]
        ours = await pool.store_batch(connection, [self.stored(one) for one in going])
        ours |= await pool.remove_batch(connection, [one.row for one in ended])
        lost = len(found) - len(ours)
        if lost:
            log.warning("%d enrolments were worked on elsewhere meanwhile", lost)
        await traces.append_batch(
            connection,
            [
                (one.enrolment.id, one.kept.lines, one.course.trace)
                for one in going
                if one.enrolment.id in ours and one.course.trace
            ],
        )
        await record_closes(
            connection, [_close(one) for one in ended if one.enrolment.id in ours], self.ports.work.heeded
        )

    def stored(self, one: _One) -> Stored:
        course = one.course
        lines = one.kept.lines + len(course.trace)
        wake_at = course.wake_at
        at = None if wake_at is None else course.wall(wake_at)
        if one.retry_at is not None:
            at = one.retry_at
        elif course.unknown_before(self.ports.wall()) is not None:
            at = self.ports.wall() + BEHIND
        state = pack(Kept(course.state, lines, one.retry_at), one.enrolment, one.plan)
        return Stored(one.row, state, at, course.left())

    async def put_off(self, row: Row, error: Exception) -> None:
        """Leaves an enrolment that cannot be worked on for later; ends it after many tries."""
        try:
            await self.count_fault(row, error)
        except Exception as trouble:
            if is_outage(trouble):
                raise
            log.exception("enrolment %s cannot be read and waits", row.enrolment_id)
            at = self.ports.wall() + UNREADABLE
            await in_transaction(self.ports.database, lambda c: pool.postpone(c, [row.enrolment_id], at))

    async def count_fault(self, row: Row, error: Exception) -> None:
        async with self.ports.database.connect() as connection:
            enrolment = (await enrolments.get_batch(connection, [row.enrolment_id])).get(row.enrolment_id)
        if enrolment is None:
            await in_transaction(self.ports.database, lambda c: pool.remove_batch(c, [row]))
            return
        plan = await self.ports.plan(enrolment.digest)
        kept = fresh(enrolment) if row.state is None else unpack(row.state, enrolment, plan)
        faults = kept.faults + 1
        if faults >= MOST_FAULTS:
            at = kept.state.at or enrolment.entered_at
            line = Trace(at, "exited", None, "failed")
            close = Close(
                enrolment.id, "failed", at, type(error).__name__, trace=(line,), trace_from=kept.lines
            )

            async def end(connection: AsyncConnection) -> None:
                if await pool.remove_batch(connection, [row]):
                    await record_closes(connection, [close])

            await in_transaction(self.ports.database, end)
            return
        kept = Kept(kept.state, kept.lines, kept.retry_at, faults)
        after = self.ports.wall() + FAULTY * 2**faults
        # Nothing of its inbox was taken: it is put back as it was.
        stored = Stored(row, pack(kept, enrolment, plan), after, row.inbox)
        await in_transaction(self.ports.database, lambda c: pool.store_batch(c, [stored]))


def _order(one: _One, command: Send | Perform, attempt: int = 1) -> Order:
    enrolment = one.enrolment
    return Order(
        enrolment_id=enrolment.id,
        journey=enrolment.journey,
        digest=enrolment.digest,
        step=command.step,
        at=command.at,
        event_id=command.event_id,
        attempt=attempt,
        recorded=True,
    )


def _close(one: _One) -> Close:
    exited = one.course.exited
    assert exited is not None
    state = one.course.state
    return Close(
        enrolment_id=one.enrolment.id,
        exit=exited.exit,
        at=exited.at,
        detail=exited.detail,
        moved_by=state.moved_by,
        variants=state.variants,
        trace=tuple(one.course.trace),
        trace_from=one.kept.lines,
    )


def _earlier(until: datetime | None, unrouted: datetime | None) -> datetime | None:
    """Up to when everything is known: what a replay has handed in, and short of what is not routed yet."""
    limit = datetime.max.replace(tzinfo=UTC) if until is None else until
    return limit if unrouted is None else min(limit, unrouted - timedelta(microseconds=1))


def _scale(ticking: ScaledClock) -> Scale:
    return Scale(
        ticking.epoch_logical.isoformat(),
        ticking.epoch_wall.isoformat(),
        ticking.speed,
        ticking.grace.total_seconds(),
    )
