"""Entry: who enters a journey, and when. One entry state per (journey, profile, `one_per` value).

Theory of operation. `where` was judged before (once, at the trigger's arrival). A trigger without `settle`
is judged for re-entry at once; with it, it starts or restarts the settling timer, and is judged when that
ends. The newest trigger by (occurred_at, order) is the one that counts, in whatever order they arrive.

A trigger that is refused only because an enrolment is live is kept as contested: drivers learn of an end
later than it happened, and when it turns out that the enrolment had ended by then, the first such trigger,
by the instant of its entry, enters after all. Nothing else is ever judged twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from engine.core.advance import SLACK
from engine.core.assignment import held_out
from engine.core.commands import Decision, Enter, Refused, Settle
from engine.core.identity import enrolment_id
from engine.core.inputs import Due, Ended, EntryInput, EntryState, Triggered, UnlessSeen
from engine.core.plan import Plan

_KEPT_CONTESTED: Final = 32
"""The newest that are kept. An end is told within moments; on a fast clock those hold a day's triggers."""


def consider(
    plan: Plan,
    key: str,
    one_per: str,
    state: EntryState,
    given: EntryInput,
    *,
    paused: bool = False,
    holdout: bool | None = None,
) -> tuple[EntryState, tuple[Decision, ...]]:
    """The entry state after `given`, and the decisions.

    Args:
        key: the profile's key. `one_per`: the value as `identity.one_per_text` gives it.
        paused: the journey is paused; entries are refused and counted.
        holdout: forces the holdout for this customer (scenarios); None takes the hash.
    """
    turn = _Judgement(plan, key, one_per, _Draft(state), given.at, paused, holdout)
    _CONSIDER[type(given)](turn, given)
    return turn.state.frozen(), tuple(turn.out)


_values = attrgetter(*(each.name for each in fields(EntryState)))


class _Draft:
    """A copy of an `EntryState` that can be written to."""

    __slots__ = EntryState.__slots__

    pending_id: str | None
    pending_at: datetime | None
    pending_order: int
    due_at: datetime | None
    live_id: str | None
    entered_at: datetime | None
    entered: int
    ended_at: datetime | None
    contested: tuple[tuple[str, datetime, datetime], ...]

    def __init__(self, state: EntryState) -> None:
        self.pending_id = state.pending_id
        self.pending_at = state.pending_at
        self.pending_order = state.pending_order
        self.due_at = state.due_at
        self.live_id = state.live_id
        self.entered_at = state.entered_at
        self.entered = state.entered
        self.ended_at = state.ended_at
        self.contested = state.contested

    def frozen(self) -> EntryState:
        return EntryState(*_values(self))


class _Judgement:
    __slots__ = ("actual", "holdout", "key", "one_per", "out", "paused", "plan", "state")

    def __init__(
        self,
        plan: Plan,
        key: str,
        one_per: str,
        state: _Draft,
        actual: datetime,
        paused: bool,
        holdout: bool | None,
    ) -> None:
        self.plan, self.key, self.one_per, self.state = plan, key, one_per, state
        self.actual, self.paused, self.holdout = actual, paused, holdout
        self.out: list[Decision] = []

    def triggered(self, given: Triggered) -> None:
        self.settle_before(given.occurred_at)
        settle = self.plan.trigger.settle
        if settle is None:
            return self.judge(given.event_id, given.occurred_at, self.instant(given.occurred_at))
        state = self.state
        if state.pending_id is not None and state.pending_at is not None:
            if given.event_id == state.pending_id:
                return
            if (given.occurred_at, given.order) < (state.pending_at, state.pending_order):
                self.out.append(Refused(given.event_id, given.occurred_at, "stale"))
                return
        state.pending_id = given.event_id
        state.pending_at, state.pending_order = given.occurred_at, given.order
        state.due_at = given.occurred_at + settle
        self.out.append(Settle(given.event_id, state.due_at))

    def unless_seen(self, given: UnlessSeen) -> None:
        self.settle_before(given.occurred_at)
        state = self.state
        if state.pending_id is None or state.pending_at is None or given.occurred_at < state.pending_at:
            return
        self.out.append(Settle(state.pending_id, None))
        self.forget_pending()

    def due(self, given: Due) -> None:
        self.settle_before(given.at, including=True)

    def ended(self, given: Ended) -> None:
        state = self.state
        if state.live_id != given.enrolment_id:
            return
        state.live_id = None
        state.ended_at = given.at
        contested, state.contested = state.contested, ()
        # In their own order: they may have arrived in another.
        for event_id, occurred_at, entry_at in sorted(contested, key=lambda one: one[2]):
            if entry_at >= given.at:
                self.judge(event_id, occurred_at, max(entry_at, given.at))

    def settle_before(self, instant: datetime, including: bool = False) -> None:
        """A settling that ended before `instant` is judged first; at the same instant events come first."""
        state = self.state
        due_at, event_id, occurred_at = state.due_at, state.pending_id, state.pending_at
        if due_at is None or event_id is None or occurred_at is None:
            return
        if due_at < instant or (including and due_at == instant):
            self.forget_pending()
            self.judge(event_id, occurred_at, self.instant(due_at))

    def forget_pending(self) -> None:
        state = self.state
        state.pending_id = state.pending_at = state.due_at = None
        state.pending_order = 0

    def instant(self, own: datetime) -> datetime:
        return own if self.actual - own <= SLACK else self.actual

    def judge(self, event_id: str, occurred_at: datetime, at: datetime) -> None:
        """Applies pause and `reenter`, then enters."""
        state, reenter = self.state, self.plan.trigger.reenter
        supersedes = None
        if self.paused:
            self.out.append(Refused(event_id, at, "paused"))
            return
        if reenter == "never" and state.entered > 0:
            self.out.append(Refused(event_id, at, "never_again"))
            return
        if state.live_id is not None:
            if reenter != "restart":
                state.contested = (*state.contested, (event_id, occurred_at, at))[-_KEPT_CONTESTED:]
                self.out.append(Refused(event_id, at, "live"))
                return
            supersedes = state.live_id
        elif reenter != "restart" and state.ended_at is not None and at < state.ended_at:
            # It comes late: when it occurred the enrolment that has ended since was live.
            self.out.append(Refused(event_id, at, "live"))
            return
        if (
            isinstance(reenter, timedelta)
            and state.entered_at is not None
            and at < state.entered_at + reenter
        ):
            self.out.append(Refused(event_id, at, "too_soon"))
            return
        state.entered += 1
        state.entered_at = at
        state.live_id = enrolment_id(self.plan.journey, self.key, self.one_per, event_id)
        state.contested = ()
        holdout = self.holdout
        if holdout is None:
            holdout = held_out(self.plan.journey, self.plan.holdout, self.key)
        self.out.append(Enter(event_id, at, holdout, supersedes))


_CONSIDER: Final[dict[type[Any], Callable[[_Judgement, Any], None]]] = {
    Triggered: _Judgement.triggered,
    UnlessSeen: _Judgement.unless_seen,
    Due: _Judgement.due,
    Ended: _Judgement.ended,
}
