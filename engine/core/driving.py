"""One enrolment under way, as a durable driver holds it: what has come, and in which order the core is told.

The drivers differ in how they wait and work; this is what they have in common, and it has no clock either:
every call is given `now`, the wall. On a scaled clock (demos, tests) lag does not count: everything is given
at its own instant, and what was due before an end is done before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.core import wire
from engine.core.advance import advance, overtaken
from engine.core.commands import Ask, Exited, Perform, Send, Trace
from engine.core.inputs import Control, Due, EventSeen, Input, Settled
from engine.core.plan import Effect, Message, Plan
from engine.core.state import State

OpenCommand = Ask | Send | Perform


@dataclass
class Scale:
    """A scaled clock, for demos and tests: `speed` logical seconds pass in one on the wall."""

    epoch_logical: str
    epoch_wall: str
    speed: float
    grace_seconds: float

    def logical(self, wall: datetime) -> datetime:
        passed = wall - datetime.fromisoformat(self.epoch_wall)
        return datetime.fromisoformat(self.epoch_logical) + passed * self.speed

    def wall(self, logical: datetime) -> datetime:
        """When a timer due at `logical` fires: its scaled deadline plus the grace."""
        passed = logical - datetime.fromisoformat(self.epoch_logical)
        return (
            datetime.fromisoformat(self.epoch_wall)
            + passed / self.speed
            + timedelta(seconds=self.grace_seconds)
        )


class Course:
    """`inbox` holds JSON of inputs that came and were not taken; `trace` lines not written down yet."""

    __slots__ = (
        "cancelled",
        "command",
        "ends",
        "exited",
        "inbox",
        "known_until",
        "resumed_at",
        "scale",
        "state",
        "trace",
    )

    def __init__(
        self,
        state: State,
        inbox: Iterable[dict[str, Any]] = (),
        scale: Scale | None = None,
        trace: Iterable[Trace] = (),
    ) -> None:
        self.state = state
        self.inbox = list(inbox)
        self.scale = scale
        self.trace = list(trace)
        self.ends: list[Control] = []
        """Ends whose time on a scaled clock has not come."""
        self.known_until: datetime | None = None
        """On a scaled clock: up to when everything that happened has come."""
        self.resumed_at: datetime | None = None
        """When a pause was lifted, logically: what fell due meanwhile is done then."""
        self.cancelled = False
        self.command: OpenCommand | None = None
        self.exited: Exited | None = None

    # --- inputs ---------------------------------------------------------------------------------------

    def take(self, plan: Plan, given: Input) -> None:
        """Gives the core one input, and keeps what it wants done."""
        paused = self.state.paused
        self.state, commands = advance(plan, self.state, given)
        if paused and not self.state.paused:
            self.resumed_at = given.at
        for command in commands:
            if isinstance(command, Trace):
                self.trace.append(command)
            elif isinstance(command, Exited):
                self.exited = command
                self.command = None
            else:
                self.command = command

    def settle(self, plan: Plan, given: Input, now: datetime) -> None:
        """How the open command came out; what came while it ran is queued first, so that a goal ends it."""
        if self.inbox or self.cancelled:
            self.drain(plan, now)
        self.take(plan, given)

    def drain(self, plan: Plan, now: datetime) -> None:
        """Gives the core all that has come: controls, then events by (occurred_at, order), then timers."""
        if self.cancelled:
            self.cancelled = False
            self.take(plan, Control("end", self.logical(now), "cancelled"))
        if self.inbox:
            items, self.inbox = self.inbox, []
            given = [self._given_now(wire.input_from_json(item), now) for item in items]
            for control in given:
                if isinstance(control, Control):
                    if self._waits_its_turn(control):
                        self.ends.append(control)
                    else:
                        self.take(plan, control)
            events = [event for event in given if isinstance(event, EventSeen)]
            for event in sorted(events, key=lambda e: (e.occurred_at, e.order, e.id)):
                self.take(plan, event)
        while True:
            wake_at = self.state.wake_at
            if self._end_before(wake_at, now):
                self.take(plan, self.ends.pop(0))
            elif wake_at is not None and self._is_due(wake_at, now) and self._knows(wake_at):
                self.take(plan, Due(self._fires_at(wake_at, now)))
            else:
                return

    def stopped(self, command: OpenCommand, now: datetime) -> Settled | None:
        """Instead of running `command`: a goal or exit occurred no later than it."""
        if isinstance(command, Ask) or not overtaken(self.state):
            return None
        return Settled(command.step, "skipped", self.own(command.at, now), reason="exit_seen")

    def left(self) -> list[dict[str, Any]]:
        """What has come and waits for its turn, to be carried on as the next inbox."""
        return [*self.inbox, *map(wire.to_json, self.ends)]

    # --- time: logical, and on the wall -----------------------------------------------------------------

    @property
    def wake_at(self) -> datetime | None:
        """The logical instant at which something is to be taken next, if nothing comes."""
        wake_at = self.state.wake_at
        if self.ends:
            return min(self.ends[0].at, wake_at or self.ends[0].at)
        return wake_at

    def unknown_before(self, now: datetime) -> datetime | None:
        """The timer that is due but must not be processed yet, because the machine may be behind."""
        wake_at = self.state.wake_at
        if wake_at is None or not self._is_due(wake_at, now) or self._knows(wake_at):
            return None
        return wake_at

    def logical(self, now: datetime) -> datetime:
        return self.scale.logical(now) if self.scale else now

    def own(self, instant: datetime, now: datetime) -> datetime:
        """`at` for what belongs to `instant`: with a scaled clock lag does not count."""
        return instant if self.scale else max(instant, now)

    def wall(self, instant: datetime) -> datetime:
        return self.scale.wall(instant) if self.scale else instant

    def _fires_at(self, instant: datetime, now: datetime) -> datetime:
        """`at` for the timer due at `instant`."""
        at = self.own(instant, now)
        return at if self.resumed_at is None else max(at, self.resumed_at)

    def _is_due(self, instant: datetime, now: datetime) -> bool:
        return self.wall(instant) <= now

    def _knows(self, instant: datetime) -> bool:
        """Whether everything that happened up to `instant` has come; in real time nothing waits for that."""
        return self.scale is None or (self.known_until is not None and instant <= self.known_until)

    def _waits_its_turn(self, control: Control) -> bool:
        """An end that follows from an event, on a scaled clock; what a person orders is done at once."""
        return self.scale is not None and control.action == "end" and control.exit != "cancelled"

    def _end_before(self, wake_at: datetime | None, now: datetime) -> bool:
        """Whether an end is to be taken now, before the timer due at `wake_at`.

        With a scaled clock lag does not count: what was due before the end is done first, as it would have
        been in real time.
        """
        if not self.ends:
            return False
        self.ends.sort(key=lambda end: end.at)
        at, last = self.ends[0].at, self.state.at
        if last is not None and at <= last:
            return True
        return not self.state.open and self.wall(at) <= now and (wake_at is None or at <= wake_at)

    def _given_now(self, given: Input, now: datetime) -> Input:
        if isinstance(given, EventSeen):
            # With a scaled clock lag does not count: nothing is late, whatever the event finds overdue.
            at = (self.state.at or given.occurred_at) if self.scale else now
            return EventSeen(given.id, given.name, at, given.occurred_at, given.order, given.held)
        if isinstance(given, Control) and not self._waits_its_turn(given):
            return Control(given.action, self.logical(now), given.exit)
        return given


def reopened(plan: Plan, state: State) -> Send | Perform | None:
    """The command that is open in a stored state, if it is a send or an effect."""
    step = plan.steps.get(state.step) if state.step is not None else None
    if state.at is None:
        return None
    if state.phase == "sending" and isinstance(step, Message):
        return Send(step.id, state.at, state.moved_by, step.channels, step.template, state.attempt)
    if state.phase == "performing" and isinstance(step, Effect):
        return Perform(step.id, state.at, state.moved_by, step.verb)
    return None
