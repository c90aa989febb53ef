"""Who enters, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.core.commands import Decision, Enter, Refused, Settle
from engine.core.consider import consider
from engine.core.convert import converts
from engine.core.inputs import Due, Ended, EntryInput, EntryState, Triggered, UnlessSeen
from engine.core.plan import Condition, Goal, Plan, Trigger

T0 = datetime(2026, 11, 11, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HALF_HOUR = 30 * MINUTE
UNLESS = Condition("unless", "paid")


def plan(holdout: int = 0, **trigger: Any) -> Plan:
    return Plan("j", Trigger("event", event="cart", **trigger), {}, None, holdout=holdout)


class Entry:
    """The entry of one customer."""

    def __init__(self, plan: Plan, **more: Any) -> None:
        self.plan, self.more = plan, more
        self.state = EntryState()
        self.decisions: list[Decision] = []

    def give(self, given: EntryInput) -> tuple[Decision, ...]:
        self.state, decisions = consider(self.plan, "key", "null", self.state, given, **self.more)
        self.decisions += decisions
        return decisions

    def trigger(self, id: str, at: datetime, order: int = 0) -> tuple[Decision, ...]:
        return self.give(Triggered(id, at, at, order))

    @property
    def entries(self) -> list[tuple[str, datetime]]:
        return [(each.event_id, each.at) for each in self.decisions if isinstance(each, Enter)]

    @property
    def refusals(self) -> list[str]:
        return [each.reason for each in self.decisions if isinstance(each, Refused)]

    def end(self, at: datetime) -> tuple[Decision, ...]:
        return self.give(Ended(self.state.live_id or "", at))


def test_without_settle_it_enters_at_once() -> None:
    entry = Entry(plan())
    entry.trigger("e1", T0)
    assert entry.entries == [("e1", T0)]


def test_settling_starts_anew_with_every_trigger_and_the_last_counts() -> None:
    entry = Entry(plan(settle=HALF_HOUR))
    entry.trigger("e1", T0)
    entry.trigger("e2", T0 + 20 * MINUTE)
    entry.give(Due(T0 + HALF_HOUR))
    assert entry.entries == []
    entry.give(Due(T0 + 50 * MINUTE))
    assert entry.entries == [("e2", T0 + 50 * MINUTE)]


def test_an_older_trigger_that_arrives_late_does_not_move_the_settling() -> None:
    entry = Entry(plan(settle=HALF_HOUR))
    entry.trigger("e2", T0 + MINUTE)
    assert entry.trigger("e1", T0) == (Refused("e1", T0, "stale"),)
    assert entry.state.due_at == T0 + 31 * MINUTE


def test_unless_drops_what_is_pending_and_a_later_trigger_starts_afresh() -> None:
    entry = Entry(plan(settle=HALF_HOUR, unless=UNLESS))
    entry.trigger("e1", T0)
    assert entry.give(UnlessSeen("p", T0 + MINUTE, T0 + MINUTE)) == (Settle("e1", None),)
    entry.trigger("e2", T0 + 2 * MINUTE)
    entry.give(Due(T0 + 32 * MINUTE))
    assert entry.entries == [("e2", T0 + 32 * MINUTE)]


def test_unless_at_the_instant_of_the_trigger_drops_it_and_before_it_does_not() -> None:
    entry = Entry(plan(settle=HALF_HOUR, unless=UNLESS))
    entry.trigger("e1", T0)
    assert entry.give(UnlessSeen("p", T0 - MINUTE, T0)) == ()
    assert entry.give(UnlessSeen("p", T0, T0)) == (Settle("e1", None),)


def test_unless_at_the_end_of_the_settling_still_drops_it() -> None:
    entry = Entry(plan(settle=HALF_HOUR, unless=UNLESS))
    entry.trigger("e1", T0)
    entry.give(UnlessSeen("p", T0 + HALF_HOUR, T0 + HALF_HOUR))
    entry.give(Due(T0 + HALF_HOUR))
    assert entry.entries == []


def test_a_settling_that_ended_before_an_event_is_judged_first() -> None:
    entry = Entry(plan(settle=HALF_HOUR, unless=UNLESS))
    entry.trigger("e1", T0)
    entry.give(UnlessSeen("p", T0 + 31 * MINUTE, T0 + 31 * MINUTE))
    assert entry.entries == [("e1", T0 + HALF_HOUR)]


def test_never_allows_one_entry() -> None:
    entry = Entry(plan(reenter="never"))
    entry.trigger("e1", T0)
    entry.end(T0 + MINUTE)
    entry.trigger("e2", T0 + 2 * MINUTE)
    assert (len(entry.entries), entry.refusals) == (1, ["never_again"])


def test_after_exit_refuses_while_one_is_live() -> None:
    entry = Entry(plan(reenter="after_exit"))
    entry.trigger("e1", T0)
    entry.trigger("e2", T0 + MINUTE)
    entry.end(T0 + 2 * MINUTE)
    entry.trigger("e3", T0 + 3 * MINUTE)
    assert [id for id, _ in entry.entries] == ["e1", "e3"]


def test_a_trigger_refused_as_live_enters_when_the_end_turns_out_to_be_earlier() -> None:
    entry = Entry(plan(reenter="after_exit"))
    entry.trigger("e1", T0)
    entry.trigger("e2", T0 + 2 * MINUTE)
    entry.end(T0 + MINUTE)
    assert entry.entries == [("e1", T0), ("e2", T0 + 2 * MINUTE)]


def test_of_triggers_refused_as_live_the_first_enters_in_whatever_order_they_came() -> None:
    entry = Entry(plan(reenter="after_exit"))
    entry.trigger("e1", T0)
    for minutes in (5, 3, 9):
        entry.trigger(f"e{minutes}", T0 + minutes * MINUTE)
    entry.end(T0 + 2 * MINUTE)
    entry.end(T0 + 4 * MINUTE)
    assert [id for id, _ in entry.entries] == ["e1", "e3", "e5"]


def test_an_end_that_is_told_late_has_not_forgotten_a_busy_customers_triggers() -> None:
    entry = Entry(plan(reenter="after_exit"))
    entry.trigger("e0", T0)
    for minutes in range(2, 22):
        entry.trigger(f"e{minutes}", T0 + minutes * MINUTE)
    entry.end(T0 + MINUTE)
    assert [id for id, _ in entry.entries] == ["e0", "e2"]


def test_restart_supersedes_the_live_one() -> None:
    entry = Entry(plan(reenter="restart"))
    entry.trigger("e1", T0)
    live = entry.state.live_id
    decisions = entry.trigger("e2", T0 + MINUTE)
    assert [each.supersedes for each in decisions if isinstance(each, Enter)] == [live]
    assert entry.state.live_id != live


@pytest.mark.parametrize(("hours", "enters"), [(1.9, False), (2, True)])
def test_every_counts_from_the_last_entry(hours: float, enters: bool) -> None:
    entry = Entry(plan(reenter=timedelta(hours=2)))
    entry.trigger("e1", T0)
    entry.end(T0 + MINUTE)
    entry.trigger("e2", T0 + timedelta(hours=hours))
    assert (len(entry.entries) == 2) is enters


def test_every_never_makes_two_live() -> None:
    entry = Entry(plan(reenter=timedelta(hours=2)))
    entry.trigger("e1", T0)
    entry.trigger("e2", T0 + timedelta(hours=3))
    assert (len(entry.entries), entry.refusals) == (1, ["live"])


def test_a_paused_journey_counts_who_would_have_entered() -> None:
    entry = Entry(plan(), paused=True)
    entry.trigger("e1", T0)
    assert (entry.entries, entry.refusals) == ([], ["paused"])


def test_the_same_trigger_twice_enters_once() -> None:
    entry = Entry(plan(settle=HALF_HOUR))
    entry.trigger("e1", T0)
    assert entry.trigger("e1", T0) == ()
    entry.give(Due(T0 + HALF_HOUR))
    entry.give(Due(T0 + HALF_HOUR))
    assert len(entry.entries) == 1


def test_the_end_of_another_enrolment_means_nothing() -> None:
    entry = Entry(plan())
    entry.trigger("e1", T0)
    before = entry.state
    entry.give(Ended("another", T0))
    assert entry.state == before


def test_holdout_can_be_forced() -> None:
    entry = Entry(plan(holdout=0), holdout=True)
    entry.trigger("e1", T0)
    assert [each.holdout for each in entry.decisions if isinstance(each, Enter)] == [True]


def test_a_goal_converts_within_its_time_counted_from_entry() -> None:
    found = Plan("j", Trigger("event"), {}, None, goal=Goal(Condition("goal", "paid"), HALF_HOUR))
    assert converts(found, T0, T0 + HALF_HOUR)
    assert not converts(found, T0, T0 + HALF_HOUR + timedelta(microseconds=1))
    assert not converts(found, T0, T0 - MINUTE)
    assert not converts(plan(), T0, T0)


def test_a_late_trigger_from_while_an_enrolment_was_live_does_not_enter() -> None:
    entry = Entry(plan())
    entry.trigger("e1", T0)
    entry.end(T0 + 10 * MINUTE)
    entry.trigger("e2", T0 + 5 * MINUTE)
    assert (entry.entries, entry.refusals) == ([("e1", T0)], ["live"])
    entry.trigger("e3", T0 + 10 * MINUTE)
    assert [event for event, _ in entry.entries] == ["e1", "e3"]
