"""Group commit: single events that come together are kept together.

A transaction costs far more than the event in it. While one is under way for a source, the events of that
source that come in meanwhile are gathered, and the next transaction takes them all: the busier it is, the
less each one costs, and an event that comes alone waits for nothing.

Events of a source are kept in the order in which they came. Each has its own answer: where a transaction of
several fails, each is tried alone, so that only the guilty one fails. The work runs beside the requests: one
that is cancelled disturbs no other, and its event is kept all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from engine.store.database import is_outage

log = logging.getLogger(__name__)

MOST: Final = 200
"""Events in one transaction: it stays short enough for whoever came just after it began."""

C = TypeVar("C")
"""What comes in: an event."""
A = TypeVar("A")
"""What each is answered with."""

Keep = Callable[[str, Sequence[C]], Awaitable[Sequence[A]]]
"""Keeps events of a source in one transaction and answers for each, in order: `intake.accept_live`."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[C, A]):
    came: C
    answer: asyncio.Future[A]


class Gathering(Generic[C, A]):
    """Gathers events by source. Of one event loop."""

    def __init__(self, keep: Keep[C, A]) -> None:
        self._keep = keep
        self._queues: dict[str, deque[_Waiting[C, A]]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def accept(self, source: str, came: C) -> A:
        """Keeps one event; returns after its commit.

        Raises:
            Exception: what keeping it raised, or the outage that its whole group met.
        """
        one: _Waiting[C, A] = _Waiting(came, asyncio.get_running_loop().create_future())
        self._queues.setdefault(source, deque()).append(one)
        if source not in self._under_way:
            self._under_way[source] = asyncio.create_task(self._work(source))
        return await one.answer

    async def _work(self, source: str) -> None:
        """Takes group after group until none is left."""
        queue = self._queues[source]
        group: list[_Waiting[C, A]] = []
        outages = 0
        try:
            while queue:
                group = [queue.popleft() for _ in range(min(MOST, len(queue)))]
                outage = await self._take(source, group)
                outages = 0 if outage is None else outages + 1
                if outage is not None and outages > 1:
                    # Not one broken connection. An attempt may take a minute to fail, and more come in
                    # meanwhile than the next one takes: they would wait for longer and longer.
                    _fail(queue, outage)
                    queue.clear()
        finally:
            # No await from the last look at the queue to here: whoever comes next starts another task.
            del self._queues[source], self._under_way[source]
            for one in (*group, *queue):  # only where this task was cancelled: the process ends
                one.answer.cancel()

    async def _take(self, source: str, group: Sequence[_Waiting[C, A]]) -> Exception | None:
        """Has the group kept and answers each; returns the outage it met, if it met one."""
        try:
            answers = await self._keep(source, [one.came for one in group])
            answered = list(zip(group, answers, strict=True))
        except Exception as error:
            if len(group) == 1 or is_outage(error):
                _fail(group, error)
                return error if is_outage(error) else None
            # The type only: the text of a database error holds the values.
            log.warning(
                "%d events failed together (%s), each is tried alone", len(group), type(error).__name__
            )
        else:
            for one, answer in answered:
                if not one.answer.done():
                    one.answer.set_result(answer)
            return None
        for place, one in enumerate(group):
            outage = await self._take(source, [one])
            if outage is not None:  # the others would only wait for the same
                _fail(group[place + 1 :], outage)
                return outage
        return None


def _fail(group: Iterable[_Waiting[C, A]], error: Exception) -> None:
    for one in group:
        if not one.answer.done():  # done: its request was cancelled
            one.answer.set_exception(error)
