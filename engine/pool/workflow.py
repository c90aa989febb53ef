"""What operators see of the pool in Temporal's UI: a workflow for each journey, and beneath it its shards.

They hold no enrolments and decide nothing: a shard sleeps until its next row is due or it is woken, and takes
a turn; the journey's own workflow opens shards and tells how many rows there are. Both may be terminated at
any time: the rows are in the database, and whoever finds some due opens their shard again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

QUEUE: Final = "kairos-pool"
JOURNEY, SHARD = "PoolJourney", "PoolShard"
TURN, COUNT = "turn", "count"
OPEN, WAKE = "open", "wake"

HISTORY_LIMIT = 1_000
"""Events after which a workflow continues as new."""
LOOK: Final = timedelta(seconds=30)
"""How often the journey's workflow counts its rows; more seldom the longer their numbers stay the same."""
LONGEST_LOOK: Final = timedelta(minutes=10)
AGAIN: Final = timedelta(seconds=1)
TURN_TIME: Final = timedelta(minutes=10)
ALIVE: Final = timedelta(seconds=10)
"""A worker that has not said for so long that it is still at its turn is dead: another takes the next one."""
RETRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)


def journey_id(journey: str) -> str:
    return f"pool/{journey}"


def shard_id(journey: str, shard: int) -> str:
    return f"pool/{journey}/{shard}"


@dataclass
class ShardInput:
    journey: str
    shard: int


@dataclass
class JourneyInput:
    journey: str
    shards: list[int] = field(default_factory=list)
    """Shards to open."""


@dataclass
class Counted:
    """How rows stand. `held` is false where another worker has the shard. `next_at`: ISO, on the wall."""

    live: int = 0
    due: int = 0
    late: int = 0
    next_at: str | None = None
    held: bool = True

    def in_words(self) -> str:
        late = f", {self.late:,} late" if self.late else ""
        until = ""
        if not self.due and self.next_at is not None:
            until = f"; the next at {datetime.fromisoformat(self.next_at):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.live:,} live, {self.due:,} due{late}{until}"


@workflow.defn(name=SHARD)
class PoolShard:
    @workflow.init
    def __init__(self, given: ShardInput) -> None:
        self._given = given
        self._woken = True

    @workflow.signal(name=WAKE)
    def wake(self) -> None:
        """Something is due."""
        self._woken = True

    @workflow.run
    async def run(self, given: ShardInput) -> str:
        """Takes turns until the shard is empty."""
        while True:
            self._woken = False
            counted: Counted = await workflow.execute_activity(
                TURN,
                given,
                result_type=Counted,
                start_to_close_timeout=TURN_TIME,
                heartbeat_timeout=ALIVE,
                retry_policy=RETRIES,
                summary=f"take a turn at {given.journey}",
            )
            workflow.set_current_details(counted.in_words() if counted.held else "another worker is at it")
            if counted.held and not counted.live and not self._woken:
                return "empty"
            if workflow.info().get_current_history_length() > HISTORY_LIMIT:
                workflow.continue_as_new(given)
            await self._sleep(counted)

    async def _sleep(self, counted: Counted) -> None:
        pause: timedelta | None = None
        if not counted.held:
            pause = AGAIN
        elif counted.next_at is not None:
            pause = datetime.fromisoformat(counted.next_at) - workflow.now()
        if pause is not None and pause <= timedelta(0):
            return
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._woken, timeout=pause, timeout_summary="next row")


@workflow.defn(name=JOURNEY)
class PoolJourney:
    @workflow.init
    def __init__(self, given: JourneyInput) -> None:
        self._asked: list[int] = list(given.shards)

    @workflow.signal(name=OPEN)
    def open(self, shards: list[int]) -> None:
        """Shards that have rows due and nobody at them."""
        self._asked.extend(shards)

    @workflow.run
    async def run(self, given: JourneyInput) -> str:
        """Opens shards as they are asked for, until no row of the journey is left."""
        before, pause = Counted(), LOOK
        while True:
            asked, self._asked = sorted(set(self._asked)), []
            for shard in asked:
                await self._open(given.journey, shard)
            counted: Counted = await workflow.execute_local_activity(
                COUNT,
                given.journey,
                result_type=Counted,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=RETRIES,
                summary="count the rows",
            )
            workflow.set_current_details(counted.in_words())
            if not counted.live and not self._asked:
                return "empty"
            if workflow.info().get_current_history_length() > HISTORY_LIMIT:
                workflow.continue_as_new(JourneyInput(given.journey, self._asked))
            pause = min(2 * pause, LONGEST_LOOK) if counted == before else LOOK
            before = counted
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: bool(self._asked), timeout=pause)

    async def _open(self, journey: str, shard: int) -> None:
        # One that is open already was asked for twice, or outlived a parent that was terminated.
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                SHARD,
                ShardInput(journey, shard),
                id=shard_id(journey, shard),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"{journey}, shard {shard}",
            )
