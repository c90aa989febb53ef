"""What is done again and again, in Temporal's UI: a schedule for each job, and a workflow for each time.

A job is a name, how often, and what to do; which jobs there are is looked up anew whenever what is applied
changes. Schedules are made, changed and deleted to match. A schedule only says when: a job knows from the
database what there is to do, so that one that was missed, run twice or run at once with itself does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from temporalio import activity, workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleListActionStartWorkflow,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from engine.store import clock
from engine.store.listening import Listener
from engine.store.tables import CLOCK_CHANNEL, PROJECT_CHANNEL
from engine.temporal.activities import saying_so

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

log = logging.getLogger(__name__)

QUEUE: Final = "kairos-periodic"
WORKFLOW: Final = "Periodic"
DO: Final = "do_job"
POLL: Final = timedelta(minutes=1)
"""How often schedules are compared with what there should be, when nothing says that it changed."""
CATCH_UP: Final = timedelta(minutes=1)
"""A schedule makes up for no more than this: jobs do so themselves."""
LEAST: Final = timedelta(seconds=1)
"""What Temporal's schedules can do at most."""
LONGEST: Final = timedelta(hours=1)
ALIVE: Final = timedelta(seconds=15)
RETRIES: Final = RetryPolicy(maximum_attempts=3)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so often, in logical time, but no more often than `least` in wall time.

    `id` is the schedule's; `run` says what it did.
    """

    id: str
    every: timedelta
    run: Callable[[], Awaitable[str]]
    about: str = ""
    least: timedelta = LEAST


Jobs = Callable[[], Awaitable[Sequence[Job]]]
"""The jobs that there are now."""


@dataclass
class JobInput:
    id: str


@workflow.defn(name=WORKFLOW)
class PeriodicWorkflow:
    @workflow.run
    async def run(self, given: JobInput) -> str:
        """Does a job once."""
        done: str = await workflow.execute_activity(
            DO,
            given.id,
            result_type=str,
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=ALIVE,
            retry_policy=RETRIES,
            summary=given.id,
        )
        workflow.set_current_details(done)
        return done


class Periodic:
    """Keeps schedules and does jobs. Any number of these may run."""

    def __init__(self, database: AsyncEngine, client: Client, sources: Sequence[Jobs]) -> None:
        self._database = database
        self._client = client
        self._sources = sources
        self._jobs: dict[str, Job] = {}
        self._made: dict[str, timedelta] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps schedules and does jobs until `stop` is set."""
        worker = Worker(
            self._client,
            task_queue=QUEUE,
            workflows=[PeriodicWorkflow],
            activities=[self.do],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=8,
        )
        async with worker, Listener(self._database, PROJECT_CHANNEL, CLOCK_CHANNEL) as listener:
            while not stop.is_set():
                try:
                    await self.keep()
                except Exception as error:  # the database or Temporal is away for a while
                    log.warning("schedules cannot be kept and are tried again: %s", type(error).__name__)
                await listener.wait(POLL.total_seconds(), stop)

    @activity.defn(name=DO)
    async def do(self, id: str) -> str:
        """Does a job once, and says what came of it."""
        if id not in self._jobs:
            self._jobs = await self._wanted()
        job = self._jobs.get(id)
        if job is None:
            return "not to be done any more"
        with saying_so():
            try:
                return await job.run()
            except Exception as error:
                log.warning("%s failed: %s", id, type(error).__name__)
                # Its text may hold a customer's values, and Temporal keeps it.
                raise ApplicationError(f"{id} failed: {type(error).__name__}") from None

    async def keep(self) -> None:
        """Makes schedules what they should be."""
        self._jobs = await self._wanted()
        async with self._database.connect() as connection:
            speed = (await clock.load(connection)).speed
        there = await self._there()
        for job in self._jobs.values():
            every = max(job.least, timedelta(seconds=round((job.every / speed).total_seconds())))
            if self._made.get(job.id) != every or job.id not in there:
                await self._make(job, every)
                self._made[job.id] = every
        for id in (there | self._made.keys()) - self._jobs.keys():
            await self._delete(id)

    async def _there(self) -> set[str]:
        """The schedules that were made here, as far as Temporal lists them by now."""
        found = set()
        async for one in await self._client.list_schedules():
            action = one.schedule.action if one.schedule is not None else None
            if isinstance(action, ScheduleListActionStartWorkflow) and action.workflow == WORKFLOW:
                found.add(one.id)
        return found

    async def _wanted(self) -> dict[str, Job]:
        return {job.id: job for source in self._sources for job in await source()}

    async def _make(self, job: Job, every: timedelta) -> None:
        schedule = Schedule(
            action=ScheduleActionStartWorkflow(
                WORKFLOW,
                JobInput(job.id),
                id=job.id,
                task_queue=QUEUE,
                static_summary=job.about or job.id,
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
            state=ScheduleState(note=job.about or None),
        )
        try:
            await self._client.create_schedule(job.id, schedule, trigger_immediately=True)
        except ScheduleAlreadyRunningError:

            def changed(found: ScheduleUpdateInput) -> ScheduleUpdate:
                schedule.state = found.description.schedule.state  # an operator may have paused it
                return ScheduleUpdate(schedule)

            await self._client.get_schedule_handle(job.id).update(changed)

    async def _delete(self, id: str) -> None:
        try:
            await self._client.get_schedule_handle(id).delete()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
        self._made.pop(id, None)
