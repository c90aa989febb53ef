"""What a goal means on the row of an enrolment, live or ended, held out or not."""

from __future__ import annotations

from datetime import datetime

from engine.core.plan import Plan


def converts(plan: Plan, entered_at: datetime, occurred_at: datetime) -> bool:
    """Whether a goal event that occurred then is a conversion of an enrolment entered then.

    The end of the enrolment does not matter, and its exit is never rewritten.
    """
    goal = plan.goal
    return goal is not None and entered_at <= occurred_at <= entered_at + goal.within
