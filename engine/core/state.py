"""The state of one enrolment: one serialisable value, everything that `advance` remembers.

Treated as immutable: `advance` copies it once and returns the copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Literal

from engine.core.inputs import EventSeen, Exit
from engine.core.plan import Goto

Phase = Literal["new", "waiting", "asking", "sending", "performing", "held", "ended"]
"""`asking`, `sending`, `performing`: a command is open. `held`: paused before `step` could begin."""

ZERO = timedelta(0)


@dataclass(slots=True)
class State:
    enrolment_id: str
    key: str
    """The profile's key, for assignment."""
    holdout: bool = False
    phase: Phase = "new"
    at: datetime | None = None
    """Logical instant of the last thing that happened; never goes back."""
    entered_at: datetime | None = None
    expires_at: datetime | None = None
    step: Goto = None
    """The step it is in; with phase `held` the step that will begin."""
    begun_at: datetime | None = None
    before_at: datetime | None = None
    """When the step before the current one began: waits see events that occurred after it."""
    timer: datetime | None = None
    """When the current step wants to be woken."""
    moved_by: str | None = None
    """Event id of what last moved it (`event` in expressions); None is its trigger."""
    ask_id: int = 0
    asked: Literal["rules", "step"] = "step"
    attempt: int = 1
    late: timedelta = ZERO
    """How late the timer ran that led here; zero within the slack."""
    paused: bool = False
    variants: dict[str, str] = field(default_factory=dict)
    """Step id of a split to the variant taken, or forced from outside."""
    inbox: tuple[EventSeen, ...] = ()
    """Events that no step has used, by (occurred_at, order)."""
    queue: tuple[EventSeen, ...] = ()
    """Events not taken yet, because a command is open or the enrolment is paused."""
    noted: Exit | None = None
    """An end that was ordered while a command was open."""
    seen: tuple[str, ...] = ()
    """Ids of the last events, to know a duplicate."""
    exit: Exit | None = None
    ended_at: datetime | None = None

    def __copy__(self) -> State:
        # `copy.copy` would go through the pickle protocol, which is most of what an `advance` costs.
        return State(*_values(self))

    @property
    def open(self) -> bool:
        """Whether a command is open: no step is taken until it is settled or answered."""
        return self.phase in ("asking", "sending", "performing")

    @property
    def wake_at(self) -> datetime | None:
        """When the driver must give `Due`; None while a command is open, paused, or ended."""
        if self.paused or self.phase != "waiting":
            return None
        if self.timer is None or (self.expires_at is not None and self.expires_at < self.timer):
            return self.expires_at
        return self.timer


_values = attrgetter(*(each.name for each in fields(State)))
