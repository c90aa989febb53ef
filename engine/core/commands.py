"""What the two reducers ask their driver to do. All commands are data.

A driver runs `Ask`, `Send` and `Perform` (at most one is open at a time, and the enrolment takes no step
until its `Answered` or `Settled` comes back), writes `Trace` entries in order, and closes on `Exited`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from engine.core.inputs import Exit
from engine.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One fact. `expression`: `text` is evaluated with `now` = the ask's `at`. `zone`: `text` is
    `profile` or `installation`, the answer an IANA name."""

    text: str
    kind: Literal["expression", "zone"] = "expression"


@dataclass(frozen=True, slots=True)
class Ask:
    ask_id: int
    step: str
    at: datetime
    event_id: str | None
    """The event that last moved this enrolment (`event` in expressions); None is its trigger."""
    questions: tuple[Question, ...]
    kind: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Send:
    """Send the message of `step`. `channels` are those of the step, in order."""

    step: str
    at: datetime
    event_id: str | None
    channels: tuple[str, ...]
    template: str
    attempt: int = 1
    """Counts the tries that a policy deferred, from 1."""
    kind: Literal["send"] = "send"


@dataclass(frozen=True, slots=True)
class Perform:
    """Do the effect of `step` (`update`, `webhook`, `ad_audience`, `enter`, `action`)."""

    step: str
    at: datetime
    event_id: str | None
    verb: str
    kind: Literal["perform"] = "perform"


@dataclass(frozen=True, slots=True)
class Exited:
    """The enrolment has ended."""

    exit: Exit
    at: datetime
    detail: str | None = None
    kind: Literal["exited"] = "exited"


TraceResult = Literal[
    "entered",
    "began",
    "took",
    "waits",
    "sent",
    "done",
    "skipped",
    "deferred",
    "failed",
    "unknown",
    "paused",
    "resumed",
    "exited",
    "ignored",
]


@dataclass(frozen=True, slots=True)
class Trace:
    """One line of an enrolment's trace.

    `began`: a step began. `took`: an arm, case or variant (`detail` its name or condition id).
    `sent`: `detail` is the channel. `skipped`, `failed`: `detail` the reason. `waits`: `detail` says until
    when, as ISO text. `exited`: `detail` the exit. `ignored`: an input that changed nothing, and why; the
    only result that may differ between drivers.
    """

    at: datetime
    result: TraceResult
    step: str | None = None
    detail: str | None = None
    passed_over: tuple[tuple[str, str], ...] = ()
    kind: Literal["trace"] = "trace"


Command = Ask | Send | Perform | Exited | Trace


# --- decisions of entry ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enter:
    """Enrol, at the logical instant `at`. `supersedes` is the live enrolment that ends for it."""

    event_id: str
    at: datetime
    holdout: bool
    supersedes: str | None = None
    kind: Literal["enter"] = "enter"


@dataclass(frozen=True, slots=True)
class Settle:
    """A pending entry waits until `due_at` (None: it was dropped)."""

    event_id: str
    due_at: datetime | None
    kind: Literal["settle"] = "settle"


@dataclass(frozen=True, slots=True)
class Refused:
    event_id: str
    at: datetime
    reason: Literal["live", "never_again", "too_soon", "paused", "stale"]
    kind: Literal["refused"] = "refused"


Decision = Enter | Settle | Refused
