"""A trace in words, for people: the same wherever a trace comes from.

Instants are left to the caller, which knows the zone; `in_words` says what happened in one line.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from engine.core import describe
from engine.core.commands import Trace
from engine.core.describe import length
from engine.core.plan import Branch, Plan, Split, WaitEvent

REASONS: Final[dict[str, str]] = {
    "no_address": "no address",
    "no_consent": "no consent",
    "blocked": "address blocked",
    "holdout": "in the holdout",
    "late": "too late after a pause or outage",
    "capped": "frequency cap reached",
    "quiet_hours": "quiet hours",
    "window": "outside the window",
    "quota": "quota used up",
    "budget": "budget used up",
    "paused": "paused",
    "render": "the template could not be rendered",
    "exit_seen": "a goal or exit came first",
}
"""Skip reasons as people say them."""

EXITS: Final[dict[str, str]] = {
    "completed": "completed: it ran to its end",
    "goal": "goal reached",
    "exit_rule": "an exit rule applied",
    "stopped": "stopped by the journey",
    "superseded": "superseded by a newer entry",
    "expired": "expired: older than the journey's `max_age`",
    "unsubscribed": "unsubscribed: no marketing consent is left",
    "cancelled": "cancelled by an operator",
    "failed": "failed",
}
"""Exits as people say them."""


def reason_in_words(reason: str | None, channel: str | None = None) -> str:
    """`no consent for sms`; a reason that is not in the list is its own words."""
    words = REASONS.get(reason or "", reason or "no reason given")
    return (
        f"{words} for {channel}" if channel and reason in ("no_address", "no_consent", "blocked") else words
    )


def arm_in_words(plan: Plan, step_id: str, arm: str) -> str:
    """What it means that `step_id` took `arm` (a trace's `detail` with result `took`)."""
    step = plan.steps.get(step_id)
    match step:
        case Split():
            return f"variant `{arm}`"
        case Branch():
            if arm == "otherwise":
                return "no condition held"
            place = int(arm) if arm.isdigit() else -1
            return f"`{step.cases[place].where}` held" if 0 <= place < len(step.cases) else f"case {arm}"
        case WaitEvent():
            if arm == "otherwise":
                return f"nothing came within {length(step.up_to)}" if step.up_to else "nothing came"
            for each in step.arms:
                if each.when.id == arm:
                    where = f" with {each.when.where}" if each.when.where else ""
                    return f"`{each.when.event}` came{where}"
    return arm


def in_words(plan: Plan, line: Trace) -> str:
    """One line of a trace as a sentence without its instant."""
    detail = line.detail or ""
    step = plan.steps.get(line.step) if line.step is not None else None
    what = f"`{line.step}`"
    match line.result:
        case "entered":
            return f"entered `{plan.journey}`"
        case "began":
            return f"{what} began ({describe.step(step)})" if step is not None else f"{what} began"
        case "took":
            return f"{what}: {arm_in_words(plan, line.step or '', detail)}"
        case "waits":
            return f"{what} waits until {_instant(detail)}" if detail else f"{what} waits"
        case "sent":
            text = f"{what} sent by {detail}"
        case "done":
            text = f"{what} done"
        case "skipped":
            first = line.passed_over[0][0] if line.passed_over else None
            return f"{what} skipped: {_passed(line.passed_over) or reason_in_words(line.detail, first)}"
        case "deferred":
            text = f"{what} put off until {_instant(detail)}"
        case "failed":
            text = f"{what} failed" + (f": {detail}" if detail else "")
        case "unknown":
            text = f"{what} handed over by {detail}, outcome unknown"
        case "exited":
            return f"ended: {EXITS.get(detail, detail)}"
        case "ignored":
            return f"ignored {detail}"
        case _:
            return line.result
    passed = _passed(line.passed_over)
    return f"{text} (passed over: {passed})" if passed else text


def _passed(passed_over: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(
        reason_in_words(reason, channel)
        if reason in ("no_address", "no_consent", "blocked")
        else f"{channel}: {reason_in_words(reason)}"
        for channel, reason in passed_over
    )


def _instant(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return text
