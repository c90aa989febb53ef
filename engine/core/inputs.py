"""What the two reducers take in. Every input carries `at`, the logical instant at which it is given.

Frozen, checked when built (instants must be aware), and told apart by `kind` so that JSON and Temporal's
converter give back the same type.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Any, Literal

from engine.core.values import dataclass

Exit = Literal[
    "completed",
    "goal",
    "exit_rule",
    "stopped",
    "superseded",
    "expired",
    "unsubscribed",
    "cancelled",
    "failed",
]

SkipReason = Literal[
    "no_address",
    "no_consent",
    "blocked",
    "holdout",
    "late",
    "capped",
    "quiet_hours",
    "window",
    "quota",
    "budget",
    "paused",
    "render",
    "exit_seen",
]


def _aware(*instants: datetime) -> None:
    for instant in instants:
        if instant.tzinfo is None:
            raise ValueError(f"instant without a time zone: {instant!r}")


@dataclass(frozen=True, slots=True)
class Entered:
    """The enrolment begins. `at` is its logical entry."""

    at: datetime
    kind: Literal["entered"] = "entered"

    def __post_init__(self) -> None:
        _aware(self.at)


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event reached this enrolment.

    `at` is when it is given, `occurred_at` when it happened, `order` its order of arrival among all
    events. `held` lists the ids of the plan's conditions that hold for it, judged when it was routed.
    """

    id: str
    name: str
    at: datetime
    occurred_at: datetime
    order: int = 0
    held: tuple[str, ...] = ()
    kind: Literal["event_seen"] = "event_seen"

    def __post_init__(self) -> None:
        _aware(self.at, self.occurred_at)


@dataclass(frozen=True, slots=True)
class Due:
    """The clock has come to `at`. Says nothing if no timer is due by then."""

    at: datetime
    kind: Literal["due"] = "due"

    def __post_init__(self) -> None:
        _aware(self.at)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to `Ask(ask_id)`, in the order of its questions. JSON values; instants as ISO text."""

    ask_id: int
    values: tuple[Any, ...]
    at: datetime
    kind: Literal["answered"] = "answered"

    def __post_init__(self) -> None:
        _aware(self.at)


Outcome = Literal["sent", "done", "skipped", "deferred", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Settled:
    """How the `Send` or `Perform` of `step` came out.

    `sent`, `unknown`: `channel` says by which. `done`: an effect. `skipped`: `reason` is a `SkipReason`.
    `deferred`: try again at `until`. `failed`: `reason` says why in words. `passed_over` lists
    (channel, reason) for each channel that did not reach this customer.
    """

    step: str
    result: Outcome
    at: datetime
    channel: str | None = None
    reason: str | None = None
    until: datetime | None = None
    passed_over: tuple[tuple[str, str], ...] = ()
    kind: Literal["settled"] = "settled"

    def __post_init__(self) -> None:
        _aware(self.at)
        if self.until is not None:
            _aware(self.until)
        if self.result == "deferred" and self.until is None:
            raise ValueError("a deferred message needs `until`")


@dataclass(frozen=True, slots=True)
class Control:
    """Somebody outside the journey acts: pause, resume, or end it with a given exit."""

    action: Literal["pause", "resume", "end"]
    at: datetime
    exit: Exit = "cancelled"
    kind: Literal["control"] = "control"

    def __post_init__(self) -> None:
        _aware(self.at)


Input = Entered | EventSeen | Due | Answered | Settled | Control


# --- entry: one entry state per (journey, profile, one_per value) ---------------------------------------


@dataclass(frozen=True, slots=True)
class Triggered:
    """The trigger event arrived and its `where` held. `order` breaks ties of `occurred_at`."""

    event_id: str
    occurred_at: datetime
    at: datetime
    order: int = 0
    kind: Literal["triggered"] = "triggered"

    def __post_init__(self) -> None:
        _aware(self.at, self.occurred_at)


@dataclass(frozen=True, slots=True)
class UnlessSeen:
    """The `unless` event arrived and its `where` held against the pending trigger."""

    event_id: str
    occurred_at: datetime
    at: datetime
    kind: Literal["unless_seen"] = "unless_seen"

    def __post_init__(self) -> None:
        _aware(self.at, self.occurred_at)


@dataclass(frozen=True, slots=True)
class Ended:
    """The live enrolment of this key has ended, at the logical instant `at`."""

    enrolment_id: str
    at: datetime
    kind: Literal["ended"] = "ended"

    def __post_init__(self) -> None:
        _aware(self.at)


@dataclass(frozen=True, slots=True)
class JourneyPaused:
    """From now on (`paused`) entries are counted as missed; `paused=False` lifts it."""

    paused: bool
    at: datetime
    kind: Literal["journey_paused"] = "journey_paused"

    def __post_init__(self) -> None:
        _aware(self.at)


EntryInput = Triggered | UnlessSeen | Due | Ended


@dataclass(frozen=True, slots=True)
class EntryState:
    """What entry remembers for one key. All instants logical."""

    pending_id: str | None = None
    """Event id of the settling trigger."""
    pending_at: datetime | None = None
    """When that trigger occurred."""
    pending_order: int = 0
    due_at: datetime | None = None
    live_id: str | None = None
    """Enrolment id of the live enrolment of this key."""
    entered_at: datetime | None = None
    """Of the last entry."""
    entered: int = 0
    ended_at: datetime | None = None
    """When the last enrolment that has ended did."""
    contested: tuple[tuple[str, datetime, datetime], ...] = field(default=())
    """Refused only because an enrolment was live: (event id, occurred_at, would-be entry)."""
