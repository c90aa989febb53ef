"""One enrolment's way through its plan: the only place that decides what happens next.

Theory of operation. `advance` takes one input and runs on, through every step that needs no time and no
outside work, until the enrolment waits, has one command open, or has ended. While a command is open
(`Ask`, `Send`, `Perform`) the enrolment takes no step; what comes meanwhile is queued.

Decided races:
- An event that occurred at or before a deadline wins while the deadline is unprocessed. Before an event is
  taken, every timer due before its `occurred_at` is fired; at the same instant the order is controls,
  events by (occurred_at, order of arrival), timers.
- Goal and exits beat every step. One that comes during a send ends the enrolment once the send is settled;
  one that occurred no later than a command that has not been run yet stops that command (`overtaken`).
- Nothing taken is undone: an event that comes after its deadline was processed has lost.
- What is processed no more than `SLACK` after its own instant counts as processed at it, otherwise at the
  actual instant (`input.at`), so that waits count from the actual time after an outage.
- Total: a late, duplicate or irrelevant input changes nothing but the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from engine.core.assignment import assign
from engine.core.calendar import instant_of, next_opening, next_time
from engine.core.commands import Ask, Command, Exited, Perform, Question, Send, Trace, TraceResult
from engine.core.inputs import Answered, Control, Due, Entered, EventSeen, Exit, Input, Settled
from engine.core.plan import (
    Branch,
    Effect,
    Goto,
    Message,
    Plan,
    Split,
    Step,
    Stop,
    WaitEvent,
    WaitInstant,
    WaitLength,
    WaitTime,
    WaitWindow,
)
from engine.core.state import ZERO, State

SLACK: Final = timedelta(seconds=60)
REMEMBERED_EVENTS: Final = 256
_HOLD: Final = "\x00hold"


def begin(
    enrolment_id: str,
    key: str,
    trigger_event_id: str,
    *,
    holdout: bool = False,
    variants: dict[str, str] | None = None,
) -> State:
    """The state before `Entered`. `variants` forces splits (step id to variant name)."""
    return State(enrolment_id, key, holdout, variants=dict(variants or {}), seen=(trigger_event_id,))


def advance(plan: Plan, state: State, given: Input) -> tuple[State, tuple[Command, ...]]:
    """The state after `given`, and what the driver is to do, in order. `state` itself is left as it was."""
    turn = _Turn(plan, state.__copy__(), given.at)
    if state.phase == "ended":
        turn.ignore(given, "the enrolment has ended")
    else:
        _TAKE[type(given)](turn, given)
    return turn.state, tuple(turn.out)


def overtaken(state: State) -> bool:
    """Whether a goal or exit occurred no later than the open command, so that it must not be run.

    A driver asks this after it has drained its inputs and before it runs a `Send` or `Perform`; if so it
    gives `Settled(step, "skipped", reason="exit_seen")` instead.
    """
    at = state.at
    return at is not None and any(_ends(event) and event.occurred_at <= at for event in state.queue)


def _ends(event: EventSeen) -> bool:
    return any(held == "goal" or held.startswith("exit.") for held in event.held)


def _order(event: EventSeen) -> tuple[datetime, int, str]:
    return (event.occurred_at, event.order, event.id)


class _Turn:
    """One call of `advance`: the copy being worked on, and the commands so far."""

    __slots__ = ("actual", "out", "plan", "state")

    def __init__(self, plan: Plan, state: State, actual: datetime) -> None:
        self.plan = plan
        self.state = state
        self.actual = actual
        self.out: list[Command] = []

    # --- inputs ---------------------------------------------------------------------------------------

    def entered(self, given: Entered) -> None:
        state = self.state
        if state.phase != "new":
            return self.ignore(given, "entered already")
        state.at = state.entered_at = state.begun_at = given.at
        state.expires_at = given.at + self.plan.max_age
        self.trace(given.at, "entered")
        self.go(self.plan.first, given.at)
        self.drain()

    def event_seen(self, given: EventSeen) -> None:
        state = self.state
        if state.phase == "new":
            return self.ignore(given, "not entered yet")
        if given.id in state.seen:
            return self.ignore(given, "seen already")
        state.seen = (*state.seen, given.id)[-REMEMBERED_EVENTS:]
        if not given.held:
            return self.ignore(given, "no condition holds")
        state.queue = tuple(sorted((*state.queue, given), key=_order))
        self.drain()

    def due(self, given: Due) -> None:
        wake_at = self.state.wake_at
        if wake_at is None or wake_at > given.at:
            return self.ignore(given, "nothing is due")
        self.drain(until=given.at)

    def answered(self, given: Answered) -> None:
        state = self.state
        if state.phase != "asking" or state.ask_id != given.ask_id or state.step is None:
            return self.ignore(given, "no such question is open")
        step = self.plan.steps[state.step]
        now = self.settled_at()
        if self.ended_meanwhile(now):
            return
        state.at = now
        state.phase = "waiting"
        if state.asked == "rules":
            target = self.after_rules(step, given.values, now)
        else:
            target = self.after_answers(step, given.values, now)
        if target != _HOLD:
            self.go(target, now)
        self.drain()

    def settled(self, given: Settled) -> None:
        state = self.state
        if state.phase not in ("sending", "performing") or state.step != given.step:
            return self.ignore(given, "no such command is open")
        step = self.plan.steps[given.step]
        now = self.settled_at()
        state.phase = "waiting"
        state.timer = None
        detail = given.channel if given.result in ("sent", "unknown") else given.reason
        if given.until is not None and given.result == "deferred":
            detail = given.until.isoformat()
        self.trace(now, given.result, given.step, detail, given.passed_over)
        if self.ended_meanwhile(now):
            return
        state.at = now
        if given.result == "deferred":
            state.timer = given.until
            state.attempt += 1
            state.late = ZERO
        elif given.result == "failed" and getattr(step, "on_failure", "continue") == "stop":
            self.end("failed", now, f"{given.step}: {given.reason}" if given.reason else given.step)
        else:
            self.go(step.next, now)
        self.drain()

    def control(self, given: Control) -> None:
        state = self.state
        now = max(state.at, given.at) if state.at is not None else given.at
        if given.action == "end":
            if state.phase in ("sending", "performing"):
                state.noted = state.noted or given.exit
            else:
                self.end(given.exit, now)
        elif given.action == "pause":
            if state.paused:
                return self.ignore(given, "paused already")
            state.paused = True
            self.trace(now, "paused")
        elif not state.paused:
            self.ignore(given, "not paused")
        else:
            state.paused = False
            self.trace(now, "resumed")
            if state.phase == "held":
                self.resume_held(now)
            self.drain()

    def resume_held(self, now: datetime) -> None:
        state = self.state
        if state.at is not None and now - state.at > SLACK:
            state.late = max(state.late, now - state.at)
        else:
            now = state.at or now
        self.go(state.step, now)

    # --- time -----------------------------------------------------------------------------------------

    def instant(self, own: datetime) -> datetime:
        """The logical instant of something that happened at `own` and is processed now."""
        at = own if self.actual - own <= SLACK else self.actual
        return max(at, self.state.at) if self.state.at is not None else at

    def settled_at(self) -> datetime:
        return self.instant(self.state.at or self.actual)

    def drain(self, until: datetime | None = None) -> None:
        """Takes queued events and fires timers in order, until a command is open or nothing is left.

        Timers are fired up to `until` (only a `Due` says that time has come), and always before an event
        that occurred after they were due.
        """
        state = self.state
        while state.phase not in ("ended", "new") and not state.open:
            event = self.next_event()
            wake_at = state.wake_at
            if event is not None and (wake_at is None or wake_at >= event.occurred_at):
                state.queue = tuple(e for e in state.queue if e is not event)
                self.take(event)
            elif wake_at is not None and (event is not None or (until is not None and wake_at <= until)):
                self.fire(wake_at)
            else:
                return

    def next_event(self) -> EventSeen | None:
        if self.state.paused:  # steps are held, goals and exits still apply
            return next((event for event in self.state.queue if _ends(event)), None)
        return self.state.queue[0] if self.state.queue else None

    def ended_meanwhile(self, now: datetime) -> bool:
        """Ends the enrolment if an end was ordered, or a goal or exit occurred, while a command was open."""
        if self.state.noted is not None:
            self.end(self.state.noted, now)
            return True
        for event in self.state.queue:
            if _ends(event) and event.occurred_at <= max(now, self.actual):
                self.take(event)
                return True
        return False

    def take(self, event: EventSeen) -> None:
        """One event: goal first, then exits in file order, then the wait it is in, else kept."""
        state, held = self.state, event.held
        now = self.instant(event.occurred_at)
        if "goal" in held:
            return self.end("goal", now, event.name)
        for condition in self.plan.exit_events:
            if condition.id in held:
                return self.end("exit_rule", now, condition.id)
        step = self.plan.steps.get(state.step) if state.step is not None else None
        if state.phase == "waiting" and isinstance(step, WaitEvent):
            late = state.before_at is not None and event.occurred_at <= state.before_at
            if not late or event.occurred_at == state.begun_at:
                target = self.take_arm(step, event, now)
                if target != _HOLD:
                    return self.go(target, now)
        state.inbox = tuple(sorted((*state.inbox, event), key=_order))[-REMEMBERED_EVENTS:]

    def take_arm(self, step: WaitEvent, event: EventSeen, now: datetime) -> Goto:
        for arm in step.arms:
            if arm.when.id in event.held:
                self.state.moved_by = event.id
                self.state.late = ZERO
                self.state.timer = None
                self.trace(now, "took", step.id, arm.when.id)
                return arm.goto
        return _HOLD

    def fire(self, due_at: datetime) -> None:
        """The enrolment's timer: its step's, or its age."""
        state = self.state
        now = self.instant(due_at)
        late = self.actual - due_at
        state.late = late if late > SLACK else ZERO
        if state.timer is None or due_at < state.timer:
            return self.end("expired", now)
        step = self.plan.steps[state.step or ""]
        state.timer = None
        state.at = now
        target: Goto = _HOLD
        match step:
            case WaitEvent():
                self.trace(now, "took", step.id, "otherwise")
                target = step.otherwise
            case Message():
                target = self.message(step, now)
            case WaitInstant(expression=str()):
                self.ask_step(step, now)  # it may have moved later meanwhile
            case WaitWindow() if late > SLACK:
                target = self.enter(step, now)  # after an outage the window may be closed again
            case _:
                target = step.next
        if target != _HOLD:
            self.go(target, now)

    # --- steps ----------------------------------------------------------------------------------------

    def go(self, target: Goto, now: datetime) -> None:
        """Begins `target` and runs on through all steps that need no time."""
        state = self.state
        while target != _HOLD:
            state.at = now
            state.timer = None
            if target is None:
                return self.end("completed", now)
            state.step = target
            if state.paused:
                state.phase = "held"
                return
            step = self.plan.steps[target]
            state.before_at, state.begun_at = state.begun_at, now
            state.attempt = 1
            state.phase = "waiting"
            if state.inbox:
                state.inbox = tuple(e for e in state.inbox if e.occurred_at > state.before_at)  # type: ignore[operator]
            self.trace(now, "began", target)
            target = self.enter(step, now)
            now = state.at or now

    def enter(self, step: Step, now: datetime) -> Goto:
        """Does what `step` does at `now`: the step to go to, or `_HOLD`."""
        match step:
            case WaitLength():
                return self.wait_until(step, now + step.length, now)
            case WaitEvent():
                return self.wait_for_event(step, now)
            case WaitTime() | WaitWindow() | WaitInstant():
                questions = self.questions(step)
                return self.ask(step, questions, now) if questions else self.after_answers(step, (), now)
            case Message():
                return self.message(step, now)
            case Branch():
                return self.ask(step, tuple(Question(case.where) for case in step.cases), now)
            case Split():
                return self.split(step, now)
            case Effect():
                return self.effect(step, now)
            case Stop():
                self.end("stopped", now, step.reason)
                return _HOLD

    def wait_until(self, step: Step, instant: datetime, now: datetime) -> Goto:
        if instant <= now:
            return step.next
        self.state.timer = instant
        self.state.late = ZERO
        self.trace(now, "waits", step.id, instant.isoformat())
        return _HOLD

    def wait_for_event(self, step: WaitEvent, now: datetime) -> Goto:
        state = self.state
        deadline = None if step.up_to is None else now + step.up_to
        for event in state.inbox:
            if deadline is None or event.occurred_at <= deadline:
                then = max(now, event.occurred_at)
                target = self.take_arm(step, event, then)
                if target != _HOLD:
                    state.inbox = tuple(e for e in state.inbox if e is not event)
                    state.at = then
                    return target
        state.timer = deadline
        state.late = ZERO
        self.trace(now, "waits", step.id, deadline.isoformat() if deadline else None)
        return _HOLD

    def message(self, step: Message, now: datetime) -> Goto:
        rules = self.plan.exit_rules
        if rules:
            return self.ask(step, tuple(Question(where) for _, where in rules), now, rules=True)
        return self.send(step, now)

    def send(self, step: Message, now: datetime) -> Goto:
        state = self.state
        if state.holdout:
            self.trace(now, "skipped", step.id, "holdout")
            return step.next
        if state.late > self.plan.max_lateness:
            self.trace(now, "skipped", step.id, "late")
            return step.next
        state.phase = "sending"
        self.out.append(Send(step.id, now, state.moved_by, step.channels, step.template, state.attempt))
        return _HOLD

    def split(self, step: Split, now: datetime) -> Goto:
        state = self.state
        forced = state.variants.get(step.id)
        variant = next((v for v in step.variants if v.name == forced), None)
        if variant is None:
            variant = assign(self.plan.journey, step, state.key, state.enrolment_id)
        state.variants = {**state.variants, step.id: variant.name}
        self.trace(now, "took", step.id, variant.name)
        return variant.goto

    def effect(self, step: Effect, now: datetime) -> Goto:
        state = self.state
        if state.holdout:
            self.trace(now, "skipped", step.id, "holdout")
            return step.next
        state.phase = "performing"
        self.out.append(Perform(step.id, now, state.moved_by, step.verb))
        return _HOLD

    # --- questions ------------------------------------------------------------------------------------

    def questions(self, step: WaitTime | WaitWindow | WaitInstant) -> tuple[Question, ...]:
        asked: list[Question] = []
        if isinstance(step, WaitInstant) and step.expression is not None:
            asked += [Question(step.expression), Question("installation", "zone")]
        if step.zone in ("profile", "installation"):
            asked.append(Question(step.zone, "zone"))
        return tuple(asked)

    def ask_step(self, step: WaitInstant, now: datetime) -> None:
        self.ask(step, self.questions(step), now)

    def ask(self, step: Step, questions: tuple[Question, ...], now: datetime, rules: bool = False) -> Goto:
        state = self.state
        state.phase = "asking"
        state.ask_id += 1
        state.asked = "rules" if rules else "step"
        self.out.append(Ask(state.ask_id, step.id, now, state.moved_by, questions))
        return _HOLD

    def after_rules(self, step: Step, values: tuple[Any, ...], now: datetime) -> Goto:
        for (place, _), holds in zip(self.plan.exit_rules, values, strict=False):
            if holds is True:
                self.end("exit_rule", now, f"exit.{place}")
                return _HOLD
        return self.send(step, now) if isinstance(step, Message) else step.next

    def after_answers(self, step: Step, values: tuple[Any, ...], now: datetime) -> Goto:
        match step:
            case Branch():
                for place, (case, holds) in enumerate(zip(step.cases, values, strict=False)):
                    if holds is True:
                        self.trace(now, "took", step.id, str(place))
                        return case.goto
                self.trace(now, "took", step.id, "otherwise")
                return step.otherwise
            case WaitTime():
                zone = _text(values, 0) if step.zone in ("profile", "installation") else step.zone
                return self.wait_until(step, next_time(now, step.time, step.days, zone), now)
            case WaitWindow():
                zone = _text(values, 0) if step.zone in ("profile", "installation") else step.zone
                opening = next_opening(now, step.opens, step.closes, step.days, zone)
                return self.wait_until(step, opening, now)
            case WaitInstant():
                return self.after_instant(step, values, now)
        return step.next

    def after_instant(self, step: WaitInstant, values: tuple[Any, ...], now: datetime) -> Goto:
        named = step.zone not in ("profile", "installation")
        if step.expression is None:
            zone = step.zone if named else _text(values, 0)
            instant = instant_of(step.instant, zone)
        else:
            zone = step.zone if named else _text(values, 2)
            instant = instant_of(values[0] if values else None, zone, _text(values, 1))
        if instant is None:
            return step.next
        try:
            return self.wait_until(step, instant + step.offset, now)
        except OverflowError:
            return step.next

    # --- the end, and the record ----------------------------------------------------------------------

    def end(self, kind: Exit, now: datetime, detail: str | None = None) -> None:
        state = self.state
        state.at = now
        state.phase = "ended"
        state.exit, state.ended_at = kind, now
        state.step = state.timer = state.noted = None
        state.inbox = state.queue = ()
        self.trace(now, "exited", None, kind)
        self.out.append(Exited(kind, now, detail))

    def trace(
        self,
        at: datetime,
        result: TraceResult,
        step: str | None = None,
        detail: str | None = None,
        passed_over: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.out.append(Trace(at, result, step, detail, passed_over))

    def ignore(self, given: Input, reason: str) -> None:
        what = f"event {given.id}" if isinstance(given, EventSeen) else given.kind
        at = self.state.at or given.at
        if isinstance(given, Control):  # pausing and resuming leave no instant in the state
            at = max(at, given.at)
        self.out.append(Trace(at, "ignored", self.state.step, f"{what}: {reason}"))


def _text(values: tuple[Any, ...], place: int) -> str:
    value = values[place] if place < len(values) else None
    return value if isinstance(value, str) else "UTC"


_TAKE: Final[dict[type[Any], Callable[[_Turn, Any], None]]] = {
    Entered: _Turn.entered,
    EventSeen: _Turn.event_seen,
    Due: _Turn.due,
    Answered: _Turn.answered,
    Settled: _Turn.settled,
    Control: _Turn.control,
}

__all__ = ["SLACK", "advance", "begin", "overtaken"]
