"""The decided races, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.core.advance import advance, begin, overtaken
from engine.core.commands import Ask, Command, Exited, Perform, Send, Trace
from engine.core.inputs import Answered, Control, Due, Entered, EventSeen, Input, Settled
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
    WaitInstant,
    WaitLength,
)
from engine.core.state import State

T0 = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def plan(*steps: Step, **more: Any) -> Plan:
    first = steps[0].id if steps else None
    return Plan("j", Trigger("event", event="go"), {step.id: step for step in steps}, first, **more)


def wait(id: str, next: str | None, hours: float = 1) -> WaitLength:
    return WaitLength(id, next, timedelta(hours=hours))


def message(id: str, next: str | None = None, **more: Any) -> Message:
    return Message(id, next, "hello", ("sms",), **more)


def event_wait(
    id: str, next: str | None, event: str = "click", hours: float | None = 1, otherwise: str | None = None
) -> WaitEvent:
    arm = Arm(Condition(f"{id}.0", event), next)
    return WaitEvent(id, next, (arm,), None if hours is None else timedelta(hours=hours), otherwise)


def seen(id: str, at: datetime, *held: str, given: datetime | None = None, order: int = 0) -> EventSeen:
    return EventSeen(id, "x", given or at, at, order, held)


GOAL = Goal(Condition("goal", "paid"), 3 * HOUR)


class Run:
    """An enrolment that is given inputs one by one."""

    def __init__(self, plan: Plan, holdout: bool = False) -> None:
        self.plan = plan
        self.state: State = begin("e", "key", "trigger", holdout=holdout)
        self.commands: list[Command] = []
        self.give(Entered(T0))

    def give(self, *inputs: Input) -> list[Command]:
        out: list[Command] = []
        for each in inputs:
            self.state, commands = advance(self.plan, self.state, each)
            out += commands
        self.commands += out
        return out

    def sent(self, step: str, at: datetime) -> list[Command]:
        return self.give(Settled(step, "sent", at, channel="sms"))

    @property
    def results(self) -> list[tuple[str, str | None]]:
        return [(c.result, c.detail) for c in self.commands if isinstance(c, Trace)]

    def lines(self, result: str) -> list[Trace]:
        return [c for c in self.commands if isinstance(c, Trace) and c.result == result]


def test_a_journey_without_steps_completes_at_entry() -> None:
    run = Run(plan())
    assert (run.state.exit, run.state.ended_at) == ("completed", T0)


def test_an_event_at_the_deadline_wins_while_the_deadline_is_unprocessed() -> None:
    run = Run(plan(event_wait("w", None)))
    run.give(seen("e1", T0 + HOUR, "w.0"))
    assert run.lines("took")[0].detail == "w.0"


def test_an_event_after_the_deadline_fires_the_deadline_first() -> None:
    run = Run(plan(event_wait("w", None)))
    run.give(seen("e1", T0 + HOUR + timedelta(seconds=1), "w.0"))
    assert [(line.detail, line.at) for line in run.lines("took")] == [("otherwise", T0 + HOUR)]


def test_an_event_that_comes_after_its_deadline_was_processed_has_lost() -> None:
    run = Run(plan(event_wait("w", "then", otherwise="m"), message("m"), wait("then", None)))
    run.give(Due(T0 + HOUR), seen("e1", T0 + HOUR, "w.0", given=T0 + HOUR))
    assert run.state.step == "m"
    run.sent("m", T0 + HOUR)
    assert run.state.exit == "completed"


def test_goal_during_wait_ends_it() -> None:
    run = Run(plan(wait("w", "m"), message("m"), goal=GOAL))
    run.give(seen("e1", T0 + HOUR / 2, "goal"))
    assert (run.state.exit, run.state.ended_at) == ("goal", T0 + HOUR / 2)
    assert run.state.wake_at is None


def test_goal_comes_before_an_exit_and_an_exit_before_the_wait() -> None:
    exits = (Condition("exit.0", "x"),)
    first = Run(plan(event_wait("w", None), goal=GOAL, exit_events=exits))
    first.give(seen("e1", T0, "w.0", "exit.0", "goal"))
    second = Run(plan(event_wait("w", None), goal=GOAL, exit_events=exits))
    second.give(seen("e1", T0, "w.0", "exit.0"))
    assert (first.state.exit, second.state.exit) == ("goal", "exit_rule")


def test_goal_at_the_instant_of_a_send_stops_it() -> None:
    run = Run(plan(wait("w", "m"), message("m"), goal=GOAL))
    run.give(Due(T0 + HOUR))
    assert not overtaken(run.state)
    run.give(seen("e1", T0 + HOUR, "goal"))
    assert overtaken(run.state)
    run.give(Settled("m", "skipped", T0 + HOUR, reason="exit_seen"))
    assert run.state.exit == "goal"
    assert run.lines("sent") == []


def test_goal_during_a_send_ends_it_once_the_send_is_settled() -> None:
    run = Run(plan(message("m", "n"), message("n"), goal=GOAL))
    run.give(seen("e1", T0 + timedelta(seconds=2), "goal"))
    assert run.state.phase == "sending"
    assert not overtaken(run.state)
    out = run.give(Settled("m", "sent", T0 + timedelta(seconds=3), channel="sms"))
    assert not any(isinstance(command, Send) for command in out)
    assert run.state.exit == "goal"


def test_a_cancel_during_a_send_waits_for_it() -> None:
    run = Run(plan(message("m", "n"), message("n")))
    run.give(Control("end", T0 + timedelta(seconds=1)))
    assert run.state.phase == "sending"
    run.sent("m", T0 + timedelta(seconds=2))
    assert run.state.exit == "cancelled"


def test_the_same_event_is_taken_once() -> None:
    run = Run(plan(event_wait("v", "w"), event_wait("w", None)))
    run.give(seen("e1", T0 + HOUR / 2, "v.0", "w.0"))
    assert run.state.step == "w"
    run.give(seen("e1", T0 + HOUR / 2, "v.0", "w.0"))
    assert run.state.step == "w"
    assert run.lines("ignored")[-1].detail == "event e1: seen already"


def test_its_own_trigger_is_never_seen() -> None:
    run = Run(plan(event_wait("w", None)))
    run.give(seen("trigger", T0, "w.0"))
    assert run.state.step == "w"


def test_a_wait_sees_what_came_since_the_step_before_it_began() -> None:
    run = Run(plan(wait("w", "look"), event_wait("look", None)))
    run.give(seen("e1", T0 + HOUR / 2, "look.0"))
    run.give(Due(T0 + HOUR))
    assert (run.state.exit, run.state.ended_at) == ("completed", T0 + HOUR)


def test_a_wait_does_not_see_what_came_before_the_step_before_it() -> None:
    run = Run(plan(wait("w", "w2"), wait("w2", "look"), event_wait("look", None)))
    run.give(seen("e1", T0 + HOUR / 2, "look.0"))
    run.give(Due(T0 + HOUR), Due(T0 + 2 * HOUR))
    assert run.state.step == "look"


def test_the_first_arm_in_file_order_is_taken() -> None:
    arms = (Arm(Condition("w.0", "a"), None), Arm(Condition("w.1", "b"), "m"))
    run = Run(plan(WaitEvent("w", None, arms, HOUR), message("m")))
    run.give(seen("e1", T0 + HOUR / 2, "w.1", "w.0"))
    assert run.lines("took")[0].detail == "w.0"


def test_a_timer_within_the_slack_is_processed_at_its_own_instant() -> None:
    run = Run(plan(wait("w", "w2"), wait("w2", None)))
    run.give(Due(T0 + HOUR + timedelta(seconds=59)))
    assert run.state.timer == T0 + 2 * HOUR


def test_after_an_outage_waits_count_from_the_actual_time() -> None:
    run = Run(plan(wait("w", "w2"), wait("w2", None)))
    run.give(Due(T0 + 5 * HOUR))
    assert run.state.timer == T0 + 6 * HOUR


def test_a_message_that_is_too_late_is_skipped_and_the_next_wait_is_not_late() -> None:
    run = Run(plan(wait("w", "m"), message("m", "w2"), wait("w2", "n"), message("n"), max_lateness=2 * HOUR))
    run.give(Due(T0 + 4 * HOUR))
    assert run.lines("skipped")[0].detail == "late"
    out = run.give(Due(T0 + 5 * HOUR))
    assert any(isinstance(command, Send) and command.step == "n" for command in out)


def test_a_message_no_later_than_max_lateness_is_sent() -> None:
    run = Run(plan(wait("w", "m"), message("m"), max_lateness=2 * HOUR))
    out = run.give(Due(T0 + 3 * HOUR))
    assert any(isinstance(command, Send) for command in out)


def test_a_pause_holds_steps_while_goals_still_apply() -> None:
    run = Run(plan(wait("w", "m"), message("m"), goal=GOAL))
    run.give(Control("pause", T0 + HOUR / 2), Due(T0 + HOUR))
    assert run.state.wake_at is None
    assert run.state.step == "w"
    run.give(seen("e1", T0 + 2 * HOUR, "goal"))
    assert run.state.exit == "goal"


def test_after_a_resume_an_overdue_timer_is_due_at_once() -> None:
    run = Run(plan(wait("w", "m"), message("m")))
    run.give(Control("pause", T0), Control("resume", T0 + 3 * HOUR))
    assert run.state.wake_at == T0 + HOUR
    out = run.give(Due(T0 + 3 * HOUR))
    assert any(isinstance(command, Send) and command.at == T0 + 3 * HOUR for command in out)


def test_a_control_that_changes_nothing_is_noted_at_its_own_instant() -> None:
    run = Run(plan(wait("w", None)))
    run.give(Control("pause", T0 + HOUR / 2), Control("pause", T0 + HOUR / 2))
    assert [(line.at, line.detail) for line in run.lines("ignored")] == [
        (T0 + HOUR / 2, "control: paused already")
    ]


def test_it_expires_at_its_greatest_age_whatever_it_waits_for() -> None:
    run = Run(plan(event_wait("w", None, hours=None), max_age=2 * HOUR))
    assert run.state.wake_at == T0 + 2 * HOUR
    run.give(Due(T0 + 2 * HOUR))
    assert run.state.exit == "expired"


def test_holdout_skips_messages_and_effects_and_walks_on() -> None:
    steps = (message("m", "u"), Effect("u", "w", "update"), wait("w", None))
    run = Run(plan(*steps), holdout=True)
    assert not any(isinstance(command, Send | Perform) for command in run.commands)
    assert [line.detail for line in run.lines("skipped")] == ["holdout", "holdout"]
    assert run.state.step == "w"


def test_the_first_case_that_holds_is_taken_and_only_true_holds() -> None:
    branch = Branch("b", None, (Case("a", "m"), Case("b", "n")), None)
    run = Run(plan(branch, message("m"), message("n")))
    ask = next(command for command in run.commands if isinstance(command, Ask))
    run.give(Answered(ask.ask_id, (1, True), T0))
    assert run.state.step == "n"


def test_an_answer_to_another_question_is_ignored() -> None:
    run = Run(plan(Branch("b", None, (Case("a", "m"),), None), message("m")))
    run.give(Answered(7, (True,), T0))
    assert run.state.phase == "asking"


def test_an_exit_rule_is_looked_at_right_before_each_message() -> None:
    run = Run(plan(message("m"), exit_rules=((0, "stop"),)))
    ask = next(command for command in run.commands if isinstance(command, Ask))
    run.give(Answered(ask.ask_id, (True,), T0))
    assert run.state.exit == "exit_rule"
    assert not any(isinstance(command, Send) for command in run.commands)


def test_a_deferred_message_is_tried_again_when_it_is_due() -> None:
    run = Run(plan(message("m")))
    run.give(Settled("m", "deferred", T0, reason="quiet_hours", until=T0 + HOUR))
    out = run.give(Due(T0 + HOUR))
    assert [c.attempt for c in out if isinstance(c, Send)] == [2]


@pytest.mark.parametrize(("policy", "exit"), [("stop", "failed"), ("continue", "completed")])
def test_a_failure_ends_the_journey_only_if_it_says_so(policy: str, exit: str) -> None:
    run = Run(plan(message("m", on_failure=policy)))
    run.give(Settled("m", "failed", T0, reason="refused"))
    assert run.state.exit == exit


def test_an_instant_that_has_moved_later_is_waited_for_again() -> None:
    run = Run(plan(WaitInstant("w", None, expression="profile.ends_at", zone="UTC")))

    def answer(text: str, at: datetime) -> None:
        run.give(Answered(run.state.ask_id, (text, "UTC"), at))

    answer((T0 + HOUR).isoformat(), T0)
    run.give(Due(T0 + HOUR))
    answer((T0 + 3 * HOUR).isoformat(), T0 + HOUR)
    assert run.state.wake_at == T0 + 3 * HOUR
    run.give(Due(T0 + 3 * HOUR))
    answer((T0 + 3 * HOUR).isoformat(), T0 + 3 * HOUR)
    assert (run.state.exit, run.state.ended_at) == ("completed", T0 + 3 * HOUR)


def test_what_comes_after_the_end_changes_only_the_trace() -> None:
    run = Run(plan())
    before = run.state
    for given in (Due(T0), seen("e", T0, "goal"), Control("pause", T0), Settled("m", "sent", T0)):
        out = run.give(given)
        assert [c.result for c in out if isinstance(c, Trace)] == ["ignored"]
    assert run.state == before
    assert sum(isinstance(command, Exited) for command in run.commands) == 1


def test_the_state_that_was_given_is_left_as_it_was() -> None:
    found = plan(event_wait("w", None))
    state, _ = advance(found, begin("e", "key", "t"), Entered(T0))
    copy = (state.phase, state.step, state.seen, state.queue)
    advance(found, state, seen("e1", T0, "w.0"))
    assert (state.phase, state.step, state.seen, state.queue) == copy
