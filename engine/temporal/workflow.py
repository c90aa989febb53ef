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
    from engine.core.advance import advance, begin, overtaken
    from engine.core.commands import Ask, Exited, Perform, Send, Trace
    from engine.core.inputs import Control, Due, Entered, EventSeen, Input, Settled
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
OpenCommand = Ask | Send | Perform


@workflow.defn(name=WORKFLOW)
class EnrolmentWorkflow:
    @workflow.init
    def __init__(self, given: EnrolmentInput) -> None:
        self._given = given
        self._inbox: list[dict[str, Any]] = list(given.inbox)
        self._trace: list[dict[str, Any]] = list(given.trace)
        self._trace_from = given.trace_from
        self._ends: list[Control] = []
        """Ends whose time on a scaled clock has not come."""
        self._known_until: datetime | None = None
        """On a scaled clock: up to when everything that happened has come."""
        self._cancelled = False
        self._command: OpenCommand | None = None
        self._exited: Exited | None = None
        if given.state is None:
            self._state = begin(
                given.enrolment_id,
                given.key,
                given.trigger_event_id,
                holdout=given.holdout,
                variants=given.variants,
            )
        else:
            self._state = wire.state_from_json(given.state)

    @workflow.signal(name=SIGNAL)
    def event(self, items: list[dict[str, Any]]) -> None:
        """Inputs from the router: events with the conditions that hold, and controls."""
        self._inbox.extend(items)

    @workflow.query
    def state(self) -> dict[str, Any]:
        """Where it stands: the core's state, and the trace that is not in the database yet."""
        return {
            "state": wire.to_json(self._state),
            "trace": self._trace,
            "trace_from": self._trace_from,
        }

    @workflow.run
    async def run(self, given: EnrolmentInput) -> str:
        """Runs the enrolment to its end; returns its exit."""
        plan = PLANS.plan(given.digest)
        if given.state is None:
            self._take(plan, Entered(datetime.fromisoformat(given.entered_at)))
        while self._exited is None:
            self._drain(plan)
            if self._exited is not None:
                break
            if self._command is not None:
                await self._run_command(plan, self._command)
            elif (due_at := self._unknown_before()) is not None:
                await self._catch_up(due_at)
            elif workflow.info().get_current_history_length() > HISTORY_LIMIT:
                workflow.continue_as_new(self._carried_on())
            else:
                await self._wait(plan)
        await self._close()
        return self._exited.exit

    # --- inputs ---------------------------------------------------------------------------------------

    def _take(self, plan: Plan, given: Input) -> None:
        self._state, commands = advance(plan, self._state, given)
        for command in commands:
            if isinstance(command, Trace):
                self._trace.append(wire.to_json(command))
            elif isinstance(command, Exited):
                self._exited = command
                self._command = None
            else:
                self._command = command

    def _drain(self, plan: Plan) -> None:
        """Gives the core all that has come: controls, then events by (occurred_at, order), then timers."""
        if self._cancelled:
            self._cancelled = False
            self._take(plan, Control("end", self._logical(), "cancelled"))
        if self._inbox:
            items, self._inbox = self._inbox, []
            given = [self._given_now(wire.input_from_json(item)) for item in items]
            for control in given:
                if isinstance(control, Control):
                    if self._waits_its_turn(control):
                        self._ends.append(control)
                    else:
                        self._take(plan, control)
            events = [event for event in given if isinstance(event, EventSeen)]
            for event in sorted(events, key=lambda e: (e.occurred_at, e.order, e.id)):
                self._take(plan, event)
        while True:
            wake_at = self._state.wake_at
            if self._end_before(wake_at):
                self._take(plan, self._ends.pop(0))
            elif wake_at is not None and self._is_due(wake_at) and self._knows(wake_at):
                self._take(plan, Due(self._own(wake_at)))
            else:
                return

    def _is_due(self, instant: datetime) -> bool:
        return self._wall(instant) <= workflow.now()

    def _knows(self, instant: datetime) -> bool:
        """Whether everything that happened up to `instant` has come; in real time nothing waits for that."""
        known = self._known_until
        return self._given.scale is None or (known is not None and instant <= known)

    def _unknown_before(self) -> datetime | None:
        """The timer that is due but must not be processed yet, because the machine may be behind."""
        wake_at = self._state.wake_at
        if wake_at is None or not self._is_due(wake_at) or self._knows(wake_at):
            return None
        return wake_at

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
        self._known_until = instant

    def _waits_its_turn(self, control: Control) -> bool:
        """An end that follows from an event, on a scaled clock; what a person orders is done at once."""
        return self._given.scale is not None and control.action == "end" and control.exit != "cancelled"

    def _end_before(self, wake_at: datetime | None) -> bool:
        """Whether an end is to be taken now, before the timer due at `wake_at`.

        With a scaled clock lag does not count: what was due before the end is done first, as it would have
        been in real time.
        """
        if not self._ends:
            return False
        self._ends.sort(key=lambda end: end.at)
        at, now = self._ends[0].at, self._state.at
        if now is not None and at <= now:
            return True
        return (
            not self._state.open and self._wall(at) <= workflow.now() and (wake_at is None or at <= wake_at)
        )

    def _given_now(self, given: Input) -> Input:
        if isinstance(given, EventSeen):
            # With a scaled clock lag does not count: nothing is late, whatever the event finds overdue.
            at = (self._state.at or given.occurred_at) if self._given.scale else workflow.now()
            return EventSeen(given.id, given.name, at, given.occurred_at, given.order, given.held)
        if isinstance(given, Control) and not self._waits_its_turn(given):
            return Control(given.action, self._logical(), given.exit)
        return given

    # --- time: logical, and on the wall -----------------------------------------------------------------

    def _logical(self) -> datetime:
        now = workflow.now()
        return self._given.scale.logical(now) if self._given.scale else now

    def _own(self, instant: datetime) -> datetime:
        """`at` for what belongs to `instant`: with a scaled clock lag does not count."""
        return instant if self._given.scale else max(instant, workflow.now())

    def _wall(self, instant: datetime) -> datetime:
        return self._given.scale.wall(instant) if self._given.scale else instant

    async def _wait(self, plan: Plan) -> None:
        wake_at = self._state.wake_at
        waiting = words.waiting(plan, self._state)
        workflow.set_current_details(waiting)
        timeout = None
        if self._ends:
            wake_at = min(self._ends[0].at, wake_at or self._ends[0].at)
        if wake_at is not None:
            timeout = max(self._wall(wake_at) - workflow.now(), timedelta(milliseconds=1))
        try:
            await workflow.wait_condition(
                lambda: bool(self._inbox), timeout=timeout, timeout_summary=self._state.step
            )
        except TimeoutError:
            pass  # what came at the same instant is drained before the timer is looked at
        except asyncio.CancelledError:
            self._cancelled = True

    # --- commands -------------------------------------------------------------------------------------

    async def _run_command(self, plan: Plan, command: OpenCommand) -> None:
        self._command = None
        if not isinstance(command, Ask) and overtaken(self._state):
            at = self._own(command.at)
            return self._take(plan, Settled(command.step, "skipped", at, reason="exit_seen"))
        workflow.set_current_details(words.doing(plan, command))
        given = await self._result_of(plan, command)
        self._drain_events_before(plan)
        self._take(plan, given)

    def _drain_events_before(self, plan: Plan) -> None:
        # What came while the command ran is queued by the core, so that a goal ends it right here.
        if self._inbox or self._cancelled:
            self._drain(plan)

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
                return Settled(command.step, "failed", self._own(command.at), reason=reason)
            if work.trace and not isinstance(command, Ask):
                self._trace_from += len(work.trace)
                del self._trace[: len(work.trace)]
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
                self._cancelled = True

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
                work.trace = list(self._trace)
            return work
        if isinstance(command, Send):
            work.attempt, work.channel = command.attempt, channel
        work.trace, work.trace_from = list(self._trace), self._trace_from
        return work

    # --- the end --------------------------------------------------------------------------------------

    async def _close(self) -> None:
        exited = self._exited
        assert exited is not None
        workflow.set_current_details(f"ended: {exited.exit}")
        work = Work(
            CLOSE,
            self._given.journey,
            self._given.digest,
            self._given.enrolment_id,
            None,
            exited.at.isoformat(),
            self._state.moved_by,
            exit=exited.exit,
            exit_detail=exited.detail,
            variants=self._state.variants,
            trace=self._trace,
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
            state=wire.to_json(self._state),
            inbox=[*self._inbox, *map(wire.to_json, self._ends)],
            trace=self._trace,
            trace_from=self._trace_from,
        )


__all__ = ["EnrolmentWorkflow", "State"]
