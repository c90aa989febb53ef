"""The `workflow` driver: one Temporal workflow per enrolment, with no step kinds in it.

An inbox, one interruptible wait, commands as activities. Everything that a step means is in `engine.core`;
this file maps its commands to the SDK and must stay deterministic: histories in `tests/replay` guard it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from engine.core import wire
    from engine.core.advance import begin
    from engine.core.commands import Ask, Send
    from engine.core.driving import Course, OpenCommand
    from engine.core.inputs import Entered, Input, Settled
    from engine.core.plan import Effect, Plan
    from engine.core.state import State
    from engine.temporal import words
    from engine.temporal.payloads import EnrolmentInput, Result, Work
    from engine.temporal.queues import (
        ASK,
        CATCH_UP,
        CLOSE,
        PERFORM,
        SEND,
        SIGNAL,
        WORKFLOW,
        channel_queue,
    )
    from engine.temporal.registry import PLANS

HISTORY_LIMIT = 2_000
"""Events after which an enrolment continues as new, at its next wait."""
ATTEMPT = timedelta(seconds=30)
"""How long one try of a send may take."""
ALIVE = timedelta(seconds=10)
"""A worker that has not said for so long that it is still at a send or effect is dead: a new try begins."""
ACTION_ATTEMPT = timedelta(minutes=10)
RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1)
)
CATCH_UP_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=1.2,
    maximum_interval=timedelta(seconds=2),
)


@workflow.defn(name=WORKFLOW)
class EnrolmentWorkflow:
    @workflow.init
    def __init__(self, given: EnrolmentInput) -> None:
        self._given = given
        if given.state is None:
            state = begin(
                given.enrolment_id,
                given.key,
                given.trigger_event_id,
                holdout=given.holdout,
                variants=given.variants,
            )
        else:
            state = wire.state_from_json(given.state)
        self._course = Course(state, given.inbox, given.scale, map(wire.input_from_json, given.trace))
        self._trace_from = given.trace_from

    @workflow.signal(name=SIGNAL)
    def event(self, items: list[dict[str, Any]]) -> None:
        """Inputs from the router: events with the conditions that hold, and controls."""
        self._course.inbox.extend(items)

    @workflow.query
    def state(self) -> dict[str, Any]:
        """Where it stands: the core's state, and the trace that is not in the database yet."""
        return {
            "state": wire.to_json(self._course.state),
            "trace": self._lines(),
            "trace_from": self._trace_from,
        }

    @workflow.run
    async def run(self, given: EnrolmentInput) -> str:
        """Runs the enrolment to its end; returns its exit."""
        plan, course = PLANS.plan(given.digest), self._course
        if given.state is None:
            course.take(plan, Entered(datetime.fromisoformat(given.entered_at)))
        while course.exited is None:
            course.drain(plan, workflow.now())
            if course.exited is not None:
                break
            if course.command is not None:
                await self._run_command(plan, course.command)
            elif (due_at := course.unknown_before(workflow.now())) is not None:
                await self._catch_up(due_at)
            elif workflow.info().get_current_history_length() > HISTORY_LIMIT:
                workflow.continue_as_new(self._carried_on())
            else:
                await self._wait(plan)
        await self._close()
        return course.exited.exit

    # --- waiting --------------------------------------------------------------------------------------

    async def _catch_up(self, instant: datetime) -> None:
        """Waits until everything that happened up to `instant` has come: a scaled clock forgives all lag."""
        work = Work(
            CATCH_UP,
            self._given.journey,
            self._given.digest,
            self._given.enrolment_id,
            None,
            instant.isoformat(),
        )
        task = asyncio.ensure_future(
            workflow.execute_activity(
                CATCH_UP,
                work,
                result_type=Result,
                start_to_close_timeout=ATTEMPT,
                retry_policy=CATCH_UP_RETRIES,
                summary="wait for what has happened meanwhile",
            )
        )
        await self._shielded(task)
        self._course.known_until = instant

    async def _wait(self, plan: Plan) -> None:
        course = self._course
        workflow.set_current_details(words.waiting(plan, course.state))
        timeout = None
        if (wake_at := course.wake_at) is not None:
            timeout = max(course.wall(wake_at) - workflow.now(), timedelta(milliseconds=1))
        try:
            await workflow.wait_condition(
                lambda: bool(course.inbox), timeout=timeout, timeout_summary=course.state.step
            )
        except TimeoutError:
            pass  # what came at the same instant is drained before the timer is looked at
        except asyncio.CancelledError:
            course.cancelled = True

    # --- commands -------------------------------------------------------------------------------------

    async def _run_command(self, plan: Plan, command: OpenCommand) -> None:
        course = self._course
        course.command = None
        given: Input | None = course.stopped(command, workflow.now())
        if given is not None:
            return course.take(plan, given)
        workflow.set_current_details(words.doing(plan, command))
        given = await self._result_of(plan, command)
        course.settle(plan, given, workflow.now())

    async def _result_of(self, plan: Plan, command: OpenCommand) -> Input:
        channel: str | None = None
        while True:
            work = self._work(command, channel)
            task = asyncio.ensure_future(self._start(plan, command, work))
            try:
                result = await self._shielded(task)
            except ActivityError as error:
                reason = words.failure(error)
                if isinstance(command, Ask):
                    raise
                return Settled(
                    command.step, "failed", self._course.own(command.at, workflow.now()), reason=reason
                )
            if work.trace and not isinstance(command, Ask):
                self._trace_from += len(work.trace)
                del self._course.trace[: len(work.trace)]
            if result.redirect is not None:
                channel = result.redirect
                continue
            assert result.given is not None
            given: Input = wire.input_from_json(result.given)
            return given

    async def _shielded(self, task: asyncio.Task[Result]) -> Result:
        """A cancelled enrolment lets its open command settle first: nothing taken is undone."""
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():
                    raise
                self._course.cancelled = True

    async def _start(self, plan: Plan, command: OpenCommand, work: Work) -> Result:
        summary = words.doing(plan, command, work.channel)
        if isinstance(command, Ask):
            answered: Result = await workflow.execute_local_activity(
                ASK,
                work,
                result_type=Result,
                start_to_close_timeout=ATTEMPT,
                retry_policy=RETRIES,
                summary=summary,
            )
            return answered
        name, queue, attempt = SEND, None, ATTEMPT
        if isinstance(command, Send):
            queue = channel_queue(work.channel or command.channels[0])
        else:
            name = PERFORM
            step = plan.steps[command.step]
            if command.verb == "webhook":
                queue = channel_queue("webhook")
            elif isinstance(step, Effect) and command.verb == "action":
                attempt = ACTION_ATTEMPT
        settled: Result = await workflow.execute_activity(
            name,
            work,
            result_type=Result,
            task_queue=queue,
            start_to_close_timeout=attempt,
            heartbeat_timeout=ALIVE,
            retry_policy=RETRIES,
            summary=summary,
        )
        return settled

    def _work(self, command: OpenCommand, channel: str | None) -> Work:
        work = Work(
            command.kind,
            self._given.journey,
            self._given.digest,
            self._given.enrolment_id,
            command.step,
            command.at.isoformat(),
            command.event_id,
        )
        if isinstance(command, Ask):
            work.ask_id = command.ask_id
            work.questions = [[question.kind, question.text] for question in command.questions]
            if self._trace_from == 0:
                # Its first lines say that it has got under way (`engine.ingest.starts`). They are handed in
                # again with the next step, since a question may be asked twice.
                work.trace = self._lines()
            return work
        if isinstance(command, Send):
            work.attempt, work.channel = command.attempt, channel
        work.trace, work.trace_from = self._lines(), self._trace_from
        return work

    def _lines(self) -> list[dict[str, Any]]:
        return [wire.to_json(line) for line in self._course.trace]

    # --- the end --------------------------------------------------------------------------------------

    async def _close(self) -> None:
        course = self._course
        exited = course.exited
        assert exited is not None
        workflow.set_current_details(f"ended: {exited.exit}")
        work = Work(
            CLOSE,
            self._given.journey,
            self._given.digest,
            self._given.enrolment_id,
            None,
            exited.at.isoformat(),
            course.state.moved_by,
            exit=exited.exit,
            exit_detail=exited.detail,
            variants=course.state.variants,
            trace=self._lines(),
            trace_from=self._trace_from,
        )
        closing = asyncio.ensure_future(
            workflow.execute_local_activity(
                CLOSE,
                work,
                result_type=Result,
                start_to_close_timeout=ATTEMPT,
                retry_policy=RETRIES,
                summary=f"record the exit {exited.exit}",
            )
        )
        await self._shielded(closing)

    def _carried_on(self) -> EnrolmentInput:
        given = self._given
        return EnrolmentInput(
            given.journey,
            given.digest,
            given.enrolment_id,
            given.key,
            given.trigger_event_id,
            given.entered_at,
            given.holdout,
            scale=given.scale,
            state=wire.to_json(self._course.state),
            inbox=self._course.left(),
            trace=self._lines(),
            trace_from=self._trace_from,
        )


__all__ = ["EnrolmentWorkflow", "State"]
