"""What crosses between client, workflow and activities: one dataclass each, plain JSON inside.

No personal data: ids, keys, instants and answers of expressions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.core.driving import Scale


@dataclass
class EnrolmentInput:
    """Starts an enrolment, or carries it over a continue-as-new (then `state` is set)."""

    journey: str
    digest: str
    enrolment_id: str
    key: str
    trigger_event_id: str
    entered_at: str
    holdout: bool = False
    variants: dict[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    state: dict[str, Any] | None = None
    inbox: list[dict[str, Any]] = field(default_factory=list)
    """Inputs that came and were not taken yet."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    """Trace entries that are not in the database yet."""
    trace_from: int = 0
    """Number of trace entries that are in the database."""


@dataclass
class Work:
    """One command of one enrolment for an activity, with the trace that led to it."""

    kind: str
    """`send`, `perform`, `ask` or `close`."""
    journey: str
    digest: str
    enrolment_id: str
    step: str | None
    at: str
    event_id: str | None = None
    attempt: int = 1
    channel: str | None = None
    """The channel a redirect chose; None at first."""
    ask_id: int = 0
    questions: list[list[str]] = field(default_factory=list)
    """[kind, text] each."""
    exit: str | None = None
    exit_detail: str | None = None
    variants: dict[str, str] = field(default_factory=dict)
    trace: list[dict[str, Any]] = field(default_factory=list)
    trace_from: int = 0


@dataclass
class Result:
    """What an activity found: an input for the core, or another channel to try by."""

    given: dict[str, Any] | None = None
    redirect: str | None = None
