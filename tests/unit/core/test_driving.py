"""What durable drivers have in common: in which order the core is told what has come, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.core import wire
from engine.core.advance import begin
from engine.core.commands import Ask, Perform, Send
from engine.core.driving import Course, Scale, reopened
from engine.core.inputs import Control, Entered, EventSeen, Input, Settled
from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Condition,
    Effect,
    Goal,
    Message,
    Plan,
    Step,
    Trigger,
    WaitEvent,
    WaitLength,
)

T0 = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
GOAL = Goal(Condition("goal", "paid"), 9 * HOUR)
WAIT = WaitLength("rest", "hi", HOUR)
HI = Message("hi", None, "hello", ("sms",))
LOOK = WaitEvent("look", None, (Arm(Condition("look.0", "click"), "hi"),), HOUR, None)


def plan(*steps: Step, **more: Any) -> Plan:
    given: dict[str, Any] = {"goal": GOAL, **more}
    return Plan(
        "j", Trigger("event", event="go"), {s.id: s for s in steps}, steps[0].id if steps else None, **given
    )


def seen(id: str, after: timedelta, *held: str, order: int = 0) -> dict[str, Any]:
    return wire.to_json(EventSeen(id, "x", T0 + after, T0 + after, order, held))


def control(action: Any, after: timedelta, exit: Any = "cancelled") -> dict[str, Any]:
    return wire.to_json(Control(action, T0 + after, exit))


def scale(grace: timedelta = MINUTE) -> Scale:
    """Logical time is wall time; only lag is forgiven."""
    return Scale(T0.isoformat(), T0.isoformat(), 1.0, grace.total_seconds())


class Run:
    """A course that has entered, and the lines that it left."""

    def __init__(self, plan: Plan, scale: Scale | None = None) -> None:
        self.plan = plan
        self.course = Course(begin("e", "key", "trigger"), scale=scale)
        self.course.known_until = datetime.max.replace(tzinfo=UTC)
        self.take(Entered(T0))

    def take(self, given: Input) -> None:
        self.course.take(self.plan, given)

    def come(self, *items: dict[str, Any], after: timedelta) -> None:
        """They come, and all that is due is done, at this wall instant."""
        self.course.inbox.extend(items)
        self.course.drain(self.plan, T0 + after)

    def sent(self, after: timedelta, now: timedelta | None = None) -> None:
        self.course.command = None
        wall = T0 + (after if now is None else now)
        self.course.settle(self.plan, Settled("hi", "sent", T0 + after, channel="sms"), wall)

    @property
    def lines(self) -> list[tuple[str, str | None, float]]:
        """(result, step or detail, minutes after entry) of what all drivers share."""
        return [
            (line.result, line.step or line.detail, (line.at - T0) / MINUTE)
            for line in self.course.trace
            if line.result not in ("ignored", "entered")
        ]


# --- order ----------------------------------------------------------------------------------------------


def test_controls_go_before_events_and_events_before_timers() -> None:
    run = Run(plan(WAIT, HI))
    run.come(seen("e", HOUR, "goal"), control("pause", HOUR), after=HOUR)
    assert [line[0] for line in run.lines[2:]] == ["paused", "exited"]
    assert run.course.exited is not None
    assert run.course.exited.exit == "goal"


def test_events_are_taken_by_when_they_occurred_and_then_as_they_came() -> None:
    run = Run(plan(LOOK, HI))
    late, second, first = (
        seen("late", 3 * MINUTE, "look.0", order=1),
        seen("second", 2 * MINUTE, "look.0", order=3),
        seen("first", 2 * MINUTE, "look.0", order=2),
    )
    run.come(late, second, first, after=3 * MINUTE)
    assert run.course.state.moved_by == "first"
    assert run.lines[-2:] == [("took", "look", 2), ("began", "hi", 2)]


def test_an_event_at_the_deadline_wins_and_one_after_it_comes_too_late() -> None:
    in_time, too_late = Run(plan(LOOK, HI)), Run(plan(LOOK, HI))
    in_time.come(seen("e", HOUR, "look.0"), after=HOUR + MINUTE / 2)
    too_late.come(seen("e", HOUR + MINUTE / 4, "look.0"), after=HOUR + MINUTE / 2)
    assert in_time.course.state.step == "hi"
    assert too_late.course.exited is not None
    assert too_late.lines[-1] == ("exited", "completed", 60)


def test_all_that_came_is_taken_before_a_command_is_looked_at() -> None:
    run = Run(plan(HI))
    command = run.course.command
    assert isinstance(command, Send)
    run.come(seen("paid", timedelta(0), "goal"), after=timedelta(0))
    given = run.course.stopped(command, T0)
    assert given == Settled("hi", "skipped", T0, reason="exit_seen")
    run.course.command = None
    run.course.settle(run.plan, given, T0)
    assert run.lines[-2:] == [("skipped", "hi", 0), ("exited", "goal", 0)]


def test_a_goal_after_the_command_does_not_stop_it_but_ends_the_enrolment_once_it_is_settled() -> None:
    run = Run(plan(HI, WaitLength("rest", None, HOUR)))
    command = run.course.command
    assert command is not None
    run.course.inbox.append(seen("paid", MINUTE, "goal"))
    run.course.drain(run.plan, T0 + MINUTE)
    assert run.course.stopped(command, T0 + MINUTE) is None
    run.sent(MINUTE)
    assert run.lines[-2:] == [("sent", "hi", 0), ("exited", "goal", 1)]


def test_what_came_while_a_command_ran_is_queued_before_it_settles() -> None:
    run = Run(plan(HI, WaitLength("rest", None, HOUR)))
    run.course.command = None
    run.course.inbox.append(seen("paid", timedelta(0), "goal"))
    run.course.settle(run.plan, Settled("hi", "sent", T0, channel="sms"), T0)
    assert [line[:2] for line in run.lines[-2:]] == [("sent", "hi"), ("exited", "goal")]
    assert run.course.inbox == []


def test_a_question_is_not_stopped_by_a_goal() -> None:
    run = Run(plan(Branch("look", None, (Case("true", "hi"),), None), HI))
    command = run.course.command
    assert isinstance(command, Ask)
    run.come(seen("paid", timedelta(0), "goal"), after=timedelta(0))
    assert run.course.stopped(command, T0) is None


def test_a_cancelled_enrolment_ends_once_its_command_is_settled() -> None:
    run = Run(plan(HI, WaitLength("rest", None, HOUR)))
    run.course.command = None
    run.course.cancelled = True
    run.course.settle(run.plan, Settled("hi", "sent", T0, channel="sms"), T0)
    assert run.course.exited is not None
    assert run.course.exited.exit == "cancelled"
    assert run.lines[-2][0] == "sent"


# --- real time ------------------------------------------------------------------------------------------


def test_in_real_time_a_late_timer_counts_from_when_it_is_processed() -> None:
    run = Run(plan(WAIT, HI))
    run.come(after=3 * HOUR)
    assert isinstance(run.course.command, Send)
    assert run.course.command.at == T0 + 3 * HOUR


def test_in_real_time_nothing_waits_for_what_is_not_known() -> None:
    run = Run(plan(WAIT, HI))
    run.course.known_until = None
    assert run.course.unknown_before(T0 + HOUR) is None
    run.come(after=HOUR)
    assert run.course.state.step == "hi"


def test_in_real_time_an_end_is_taken_when_it_comes() -> None:
    run = Run(plan(WAIT, HI))
    run.come(control("end", MINUTE, "superseded"), after=2 * MINUTE)
    assert run.course.exited is not None
    assert (run.course.exited.exit, run.course.exited.at) == ("superseded", T0 + 2 * MINUTE)


# --- a scaled clock -------------------------------------------------------------------------------------


def test_a_scaled_timer_fires_the_grace_later_and_counts_at_its_own_instant() -> None:
    run = Run(plan(WAIT, HI), scale(grace=10 * MINUTE))
    assert run.course.wall(T0 + HOUR) == T0 + HOUR + 10 * MINUTE
    run.come(after=HOUR + 9 * MINUTE)
    assert run.course.state.step == "rest"
    run.come(after=5 * HOUR)
    assert run.lines[-1] == ("began", "hi", 60)


def test_a_scaled_timer_waits_until_everything_before_it_is_known() -> None:
    run = Run(plan(WAIT, HI), scale())
    run.course.known_until = T0 + HOUR - MINUTE
    run.come(after=2 * HOUR)
    assert run.course.state.step == "rest"
    assert run.course.unknown_before(T0 + 2 * HOUR) == T0 + HOUR
    run.course.known_until = T0 + HOUR
    assert run.course.unknown_before(T0 + 2 * HOUR) is None
    run.come(after=2 * HOUR)
    assert run.lines[-1] == ("began", "hi", 60)


def test_an_end_on_a_scaled_clock_waits_for_what_was_due_before_it() -> None:
    hi = Message("hi", "long", "hello", ("sms",))
    steps = (WAIT, hi, WaitLength("long", None, HOUR))
    run = Run(plan(*steps), scale())
    run.come(control("end", HOUR + MINUTE / 2, "superseded"), after=HOUR + MINUTE / 2)
    assert run.course.exited is None
    assert run.course.wake_at == T0 + HOUR
    [kept] = run.course.left()
    assert wire.input_from_json(kept) == Control("end", T0 + HOUR + MINUTE / 2, "superseded")
    again = Run(plan(*steps), scale())
    again.come(kept, after=HOUR + 2 * MINUTE)  # as the next batch takes it up
    assert [line[:2] for line in again.lines[-2:]] == [("waits", "rest"), ("began", "hi")]
    again.sent(HOUR, now=HOUR + 2 * MINUTE)
    again.come(after=HOUR + 2 * MINUTE)
    assert [line[0] for line in again.lines[-4:]] == ["sent", "began", "waits", "exited"]
    assert again.lines[-1] == ("exited", "superseded", 60.5)


def test_an_end_at_the_instant_of_a_timer_comes_first() -> None:
    run = Run(plan(WAIT, HI), scale())
    run.come(control("end", HOUR, "superseded"), after=HOUR + 2 * MINUTE)
    assert run.lines[-1] == ("exited", "superseded", 60)
    assert "hi" not in [line[1] for line in run.lines]


def test_what_a_person_orders_is_done_at_once_on_a_scaled_clock_too() -> None:
    run = Run(plan(WAIT, HI), scale())
    run.come(control("end", timedelta(0), "cancelled"), after=5 * MINUTE)
    assert run.course.exited is not None
    assert run.course.exited.at == T0 + 5 * MINUTE


def test_an_event_on_a_scaled_clock_is_never_late() -> None:
    run = Run(plan(LOOK, HI), scale())
    run.come(seen("click", 10 * MINUTE, "look.0"), after=5 * HOUR)
    assert run.lines[-2:] == [("took", "look", 10), ("began", "hi", 10)]


@pytest.mark.parametrize("scaled", [None, scale()], ids=["real", "scaled"])
def test_a_timer_that_fell_due_in_a_pause_fires_when_it_is_resumed(scaled: Scale | None) -> None:
    run = Run(plan(WAIT, HI), scaled)
    run.come(control("pause", 30 * MINUTE), after=30 * MINUTE)
    run.come(after=2 * HOUR)
    assert run.course.state.step == "rest"
    run.come(control("resume", 3 * HOUR), after=3 * HOUR)
    assert run.lines[-1] == ("began", "hi", 180)
    assert run.course.state.late == 2 * HOUR


def test_after_a_resume_later_timers_count_at_their_own_instant_again() -> None:
    run = Run(plan(WAIT, HI), scale(grace=10 * MINUTE))
    run.come(control("pause", 10 * MINUTE), after=10 * MINUTE)
    run.come(control("resume", 20 * MINUTE), after=20 * MINUTE)
    run.come(after=2 * HOUR)
    assert run.lines[-1] == ("began", "hi", 60)


# --- stored and taken up again --------------------------------------------------------------------------


def test_an_open_send_or_effect_is_found_again_in_a_stored_state() -> None:
    call = Effect("call", None, "webhook", {})
    sending, calling = Run(plan(HI)), Run(plan(call))
    for run in (sending, calling):
        state = wire.state_from_json(wire.to_json(run.course.state))
        assert reopened(run.plan, state) == run.course.command
        assert isinstance(run.course.command, Send | Perform)


def test_nothing_is_open_in_an_enrolment_that_waits_asks_or_has_not_begun() -> None:
    waiting = Run(plan(WAIT, HI))
    asking = Run(plan(Branch("look", None, (Case("true", "hi"),), None), HI))
    assert reopened(waiting.plan, waiting.course.state) is None
    assert reopened(asking.plan, asking.course.state) is None
    assert reopened(waiting.plan, begin("e", "key", "trigger")) is None


def test_the_second_try_of_a_deferred_message_is_reopened_as_the_second() -> None:
    run = Run(plan(HI))
    run.course.command = None
    run.take(Settled("hi", "deferred", T0, reason="quiet_hours", until=T0 + HOUR))
    assert run.course.wake_at == T0 + HOUR
    run.come(after=HOUR)
    command = reopened(run.plan, run.course.state)
    assert isinstance(command, Send)
    assert command.attempt == 2
    assert command == run.course.command
