"""What the recorded histories of the pool's own workflows were made of: answers of activities, and signals.

No enrolment is in them: shards and crowds keep theirs in the database, so the activities answer by a script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from engine.pool import crowd, workflow
from engine.pool.crowd import Came, CrowdInput, CrowdWorkflow
from engine.pool.workflow import Counted, JourneyInput, PoolJourney, PoolShard, ShardInput

WORKFLOWS: Final[Sequence[type[Any]]] = (PoolJourney, PoolShard, CrowdWorkflow)
Handle = WorkflowHandle[Any, Any]


@dataclass
class Script:
    """Answers of the activities, in order; the last one stays. `called` holds the calls of all of them."""

    turns: Sequence[Counted] = ()
    counts: Sequence[Counted] = ()
    crowds: Sequence[Came] = ()
    called: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    _given: dict[str, int] = field(default_factory=dict)

    async def reached(self, calls: int) -> None:
        """Waits for so many calls more."""
        async with asyncio.timeout(30):
            for _ in range(calls):
                await self.called.acquire()

    def _next(self, kind: str, answers: Sequence[Any]) -> Any:
        place = self._given[kind] = self._given.get(kind, -1) + 1
        self.called.release()
        answer = answers[min(place, len(answers) - 1)]
        if isinstance(answer, Counted) and answer.next_at == SOON:
            answer = Counted(answer.live, next_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
        return answer

    @activity.defn(name=workflow.TURN)
    async def turn(self, given: ShardInput) -> Counted:
        answer: Counted = self._next("turn", self.turns)
        return answer

    @activity.defn(name=workflow.COUNT)
    async def count(self, journey: str) -> Counted:
        answer: Counted = self._next("count", self.counts)
        return answer

    @activity.defn(name=crowd.ENTER)
    async def enter(self, crowd_id: str) -> Came:
        answer: Came = self._next("crowd", self.crowds)
        if answer.status == HANGS:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.2)
        return answer

    @activity.defn(name=crowd.STOP)
    async def stop(self, crowd_id: str) -> Came:
        return Came("cancelled", 500, 1_000, 480, refused={"reenter": 20})


SOON: Final = "soon"
PAST: Final = "2026-03-27T08:00:00+00:00"
HANGS: Final = "hangs"
EMPTY: Final = Counted()
Act = Callable[[Handle, Script], Awaitable[None]]


async def _nothing(handle: Handle, script: Script) -> None:
    return None


@dataclass(frozen=True)
class PoolCase:
    """One run of a workflow. `result` is None where it ends by being cancelled."""

    name: str
    workflow: str
    given: Any
    script: Callable[[], Script]
    result: str | None
    act: Act = _nothing
    history_limit: int | None = None


async def _open_more(handle: Handle, script: Script) -> None:
    await script.reached(2)
    await handle.signal(workflow.OPEN, [3, 5])


async def _wake(handle: Handle, script: Script) -> None:
    await script.reached(3)
    await handle.signal(workflow.WAKE)


async def _cancel(handle: Handle, script: Script) -> None:
    await script.reached(2)
    await handle.cancel()


POOL_CASES: Final[tuple[PoolCase, ...]] = (
    PoolCase(
        "pool-journey",
        workflow.JOURNEY,
        JourneyInput("autumn", [0, 3]),
        # Shards count their turns too: two of them, each at once empty, before the third count.
        lambda: Script(turns=(EMPTY,), counts=(Counted(70, 12, 3), EMPTY)),
        "empty",
        _open_more,
    ),
    PoolCase(
        "pool-journey-continued",
        workflow.JOURNEY,
        JourneyInput("autumn", [0, 1, 2]),
        lambda: Script(turns=(EMPTY,), counts=(Counted(9), Counted(9), EMPTY)),
        "empty",
        _open_more,
        history_limit=5,
    ),
    PoolCase(
        "pool-shard",
        workflow.SHARD,
        ShardInput("autumn", 3),
        # Until the next row, for another worker, until it is woken, until it is empty.
        lambda: Script(
            turns=(
                Counted(40, next_at=SOON),
                Counted(held=False),
                Counted(7),
                Counted(2, 2, next_at=PAST),
                EMPTY,
            )
        ),
        "empty",
        _wake,
    ),
    PoolCase(
        "pool-shard-continued",
        workflow.SHARD,
        ShardInput("autumn", 3),
        lambda: Script(turns=(Counted(3, 3, next_at=PAST), Counted(2, 2, next_at=PAST), EMPTY)),
        "empty",
        history_limit=5,
    ),
    PoolCase(
        "crowd",
        crowd.CROWD,
        CrowdInput("autumn", "c-1"),
        lambda: Script(crowds=(Came("entering", 500, 1_000, 500), Came("entered", 1_000, 1_000, 990))),
        "1,000 of 1,000 looked at, 990 entered",
    ),
    PoolCase(
        "crowd-cancelled",
        crowd.CROWD,
        CrowdInput("autumn", "c-1"),
        lambda: Script(crowds=(Came("entering", 500, 1_000, 480), Came(HANGS))),
        None,
        _cancel,
    ),
    PoolCase(
        "crowd-continued",
        crowd.CROWD,
        CrowdInput("autumn", "c-1"),
        lambda: Script(crowds=(Came("entering", 500, 1_000, 500), Came("entered", 1_000, 1_000, 1_000))),
        "1,000 of 1,000 looked at, 1,000 entered",
        history_limit=3,
    ),
)


async def run_pool_case(client: Client, case: PoolCase) -> str:
    """Runs one case to its end; returns the workflow's id."""
    script, workflow_id = case.script(), f"recorded/{case.name}"
    limits = workflow.HISTORY_LIMIT, crowd.HISTORY_LIMIT
    if case.history_limit is not None:
        workflow.HISTORY_LIMIT = crowd.HISTORY_LIMIT = case.history_limit
    try:
        async with Worker(
            client,
            task_queue=workflow.QUEUE,
            workflows=WORKFLOWS,
            activities=[script.turn, script.count, script.enter, script.stop],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            handle = await client.start_workflow(
                case.workflow, case.given, id=workflow_id, task_queue=workflow.QUEUE
            )
            await case.act(handle, script)
            result: str | None = None
            with suppress(WorkflowFailureError):
                result = await asyncio.wait_for(handle.result(), 60)
            assert result == case.result, f"{case.name} ended with {result!r}"
    finally:
        workflow.HISTORY_LIMIT, crowd.HISTORY_LIMIT = limits
    return workflow_id
