"""Plays the outbox: what the router decided becomes running enrolments.

One player at a time has the outbox (`engine.store.routing.try_lead`). Each enrolment's rows are played in
their order, its start before its wakes, several wakes in one call. A row is marked done after the call: a
crash in between repeats the call, which is harmless, because a start is known by its workflow id and an
event by its own id.

A crowd must not make those wait who are under way. So at most `at_once` starts are unfinished: a start is,
until its call has come back and, where the enrolment acts at once, its first trace line is stored, which
says that it got that far. What is not started yet queues here, where it is in nobody's way; journeys take
turns; wakes have room of their own. How many are unfinished follows from how long they take to get under
way: those who wait share that time.

Who runs enrolments implements `Starter`; nothing here knows Temporal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from engine.store import routing, starts, traces
from engine.store.database import in_transaction
from engine.store.listening import Listener
from engine.store.tables import STARTS_CHANNEL

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Starts that are unfinished at the same time; as many wakes may be under way beside them."""
LEAST: Final = 4
QUICK, SLOW = 0.2, 0.35
"""Wall seconds from a start to its first trace line: below the one more may be unfinished, above the other
fewer. In between Temporal has enough to do, and whoever waits beside the crowd is not long behind."""
PATIENCE: Final = 10.0
"""Wall seconds after which an enrolment counts as finished that has left no trace: its worker may be away."""
POLL: Final = 1.0
_PAUSE: Final = 0.03
"""Seconds between two looks while nothing may start."""
_FLUSH: Final = 0.02
"""Seconds between two looks at what was finished: rows are marked in one statement."""
_LONGEST_BACKOFF: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class StartRow:
    """Start the enrolment; `payload` as `engine.ingest.routing.start_payload` makes it.

    `inbox` holds inputs (`engine.core.wire` JSON) that came already: handed over with the start, they save
    a call.
    """

    workflow_id: str
    enrolment_id: str
    payload: Mapping[str, Any]
    inbox: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class WakeRow:
    """Hand these inputs (`engine.core.wire` JSON) to a running enrolment, in order."""

    workflow_id: str
    enrolment_id: str
    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Taken. For a start also: it was started before."""

    kind: Literal["done"] = "done"


@dataclass(frozen=True, slots=True)
class Gone:
    """A wake: the enrolment has ended, or is not there."""

    kind: Literal["gone"] = "gone"


@dataclass(frozen=True, slots=True)
class Retry:
    """Not taken; try again no earlier than `after`. `busy`: the server asks for less of everything."""

    reason: str
    after: timedelta | None = None
    busy: bool = False
    kind: Literal["retry"] = "retry"


Outcome = Done | Gone | Retry


class Starter(Protocol):
    """Who runs enrolments. Both calls answer row by row, and may be given the same row again.

    `start` of a row with an `inbox` must not lose it when the enrolment was started before: it then wakes.
    """

    async def start(self, rows: Sequence[StartRow]) -> Sequence[Outcome]: ...

    async def wake(self, rows: Sequence[WakeRow]) -> Sequence[Outcome]: ...


@dataclass(slots=True)
class Played:
    """What a player has done, for metrics and for people."""

    started: int = 0
    woken: int = 0
    gone: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class _Hand:
    """A call under way, about one enrolment."""

    task: asyncio.Task[None]
    starts: bool
    journey: str


@dataclass(frozen=True, slots=True)
class _Unfinished:
    journey: str
    since: float


@dataclass(slots=True)
class Player:
    """Plays the outbox to a starter until it is told to stop."""

    database: AsyncEngine
    starter: Starter
    at_once: int = AT_ONCE
    tally: Played = field(default_factory=Played)
    _in_hand: dict[str, _Hand] = field(default_factory=dict)
    _unfinished: dict[str, _Unfinished] = field(default_factory=dict)
    """Started enrolments that were not seen to act yet, by id."""
    _done: list[int] = field(default_factory=list)
    _failed: list[tuple[int, str, timedelta]] = field(default_factory=list)
    _allowed: float = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Plays until `stop` is set; waits its turn while another player has the outbox."""
        self._allowed = self.at_once
        async with Listener(self.database, STARTS_CHANNEL) as listener:
            while not stop.is_set():
                try:
                    async with self.database.connect() as leader, leader.begin():
                        if await routing.try_lead(leader):
                            await self._lead(leader, listener, stop)
                except Exception:
                    log.exception("the outbox could not be played; trying again")
                await listener.wait(POLL, stop)

    async def play(self) -> None:
        """Plays what is open now, to the end; rows that must wait for their next try are left."""
        self._allowed = self.at_once
        while await self._take() or self._in_hand:
            await self._progress()

    async def _lead(self, leader: AsyncConnection, listener: Listener, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await routing.still_leads(leader)
                if await self._take() or self._in_hand:
                    await self._progress()
                else:
                    await listener.wait(POLL, stop)
        finally:
            tasks = [hand.task for hand in self._in_hand.values()]
            for task in tasks:  # a call that is cut off may have been taken: it is simply made again
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._in_hand.clear()
            self._unfinished.clear()

    async def _take(self) -> bool:
        """Takes in hand what there is room for; whether there may be more to do at once."""
        starting = sum(hand.starts for hand in self._in_hand.values())
        async with self.database.connect() as connection:
            if starting + len(self._unfinished) >= int(self._allowed):
                await self._see(connection)
            busy = list(self._in_hand)
            wakes: list[starts.Start] = []
            if (room := self.at_once - (len(busy) - starting)) > 0:
                wakes = await starts.open_wakes(connection, busy, room)
            rows: list[starts.Start] = []
            if (room := int(self._allowed) - starting - len(self._unfinished)) > 0:
                rows = await starts.open_starts(connection, busy, self._under_way(), room)
                rows += await starts.open_with(connection, [row.workflow_id for row in rows])
        rows += wakes
        rows.sort(key=lambda row: (row.workflow_id, row.id))
        for workflow_id, group in groupby(rows, key=lambda row: row.workflow_id):
            own = list(group)
            task = asyncio.create_task(self._play(workflow_id, own))
            self._in_hand[workflow_id] = _Hand(task, own[0].kind == "start", own[0].journey)
        return bool(rows) or room <= 0

    def _under_way(self) -> Counter[str]:
        """Starts under way, by journey."""
        return Counter(
            [hand.journey for hand in self._in_hand.values() if hand.starts]
            + [one.journey for one in self._unfinished.values()]
        )

    async def _see(self, connection: AsyncConnection) -> None:
        """Lets go of enrolments that have acted, and of those that had time enough to."""
        if not self._unfinished:
            return
        now = monotonic()
        gone = await traces.begun(connection, self._unfinished)
        for enrolment_id in gone:
            took = now - self._unfinished[enrolment_id].since
            if took < QUICK:
                self._allowed = min(self.at_once, self._allowed + 0.5)
            elif took > SLOW:
                self._allowed = max(min(LEAST, self.at_once), self._allowed * 0.97)
        gone |= {id for id, one in self._unfinished.items() if now - one.since > PATIENCE}
        for enrolment_id in gone:
            del self._unfinished[enrolment_id]

    async def _progress(self) -> None:
        """Waits for something to come back, and marks what was played before it may be taken up again."""
        tasks = [hand.task for hand in self._in_hand.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_PAUSE, return_when=asyncio.FIRST_COMPLETED)
            if len(tasks) > 1:
                await asyncio.sleep(_FLUSH)
        else:
            await asyncio.sleep(_PAUSE)
        finished = [workflow_id for workflow_id, hand in self._in_hand.items() if hand.task.done()]
        done, self._done = self._done, []
        failed, self._failed = self._failed, []
        if done or failed:
            await in_transaction(self.database, lambda c: _mark(c, done, failed))
        for workflow_id in finished:
            del self._in_hand[workflow_id]

    async def _play(self, workflow_id: str, rows: Sequence[starts.Start]) -> None:
        """Plays the rows of one enrolment."""
        ids = [row.id for row in rows]
        inputs = tuple(row.payload for row in rows if row.kind != "start")
        try:
            if rows[0].kind == "start":
                start = StartRow(workflow_id, rows[0].enrolment_id, rows[0].payload, inputs)
                [outcome] = await self.starter.start([start])
            else:
                [outcome] = await self.starter.wake([WakeRow(workflow_id, rows[0].enrolment_id, inputs)])
        except Exception as error:
            log.warning("%s could not be played: %s", workflow_id, type(error).__name__)
            outcome = Retry(type(error).__name__)
        self._settle(rows, ids, outcome)

    def _settle(self, rows: Sequence[starts.Start], ids: Sequence[int], outcome: Outcome) -> None:
        if isinstance(outcome, Retry):
            self.tally.retried += 1
            if outcome.busy:
                self._allowed = max(1.0, self._allowed / 2)
            after = outcome.after or min(
                timedelta(seconds=0.5) * 2 ** min(rows[0].attempts, 8), _LONGEST_BACKOFF
            )
            self._failed.append((rows[0].id, outcome.reason, after))
            return
        if not (rows[0].kind == "start" and rows[0].acts):
            self._allowed = min(self.at_once, self._allowed + 1)
        self._done.extend(ids)
        if isinstance(outcome, Gone):
            self.tally.gone += 1
        elif rows[0].kind == "start":
            self.tally.started += 1
            if rows[0].acts:
                self._unfinished[rows[0].enrolment_id] = _Unfinished(rows[0].journey, monotonic())
        else:
            self.tally.woken += 1


async def _mark(
    connection: AsyncConnection, done: Sequence[int], failed: Sequence[tuple[int, str, timedelta]]
) -> None:
    if done:
        await starts.mark_done(connection, done)
    by_pause = sorted(failed, key=lambda one: one[2])
    for after, group in groupby(by_pause, key=lambda one: one[2]):
        await starts.mark_failed(connection, [(row, reason) for row, reason, _ in group], after)
