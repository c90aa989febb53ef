"""What operators read in Temporal's UI: where an enrolment stands, and what an activity does, in words."""

from __future__ import annotations

from engine.core.commands import Ask, Perform, Send
from engine.core.plan import Effect, Plan, WaitEvent
from engine.core.state import State


def waiting(plan: Plan, state: State) -> str:
    """Where it stands and what it waits for, for the workflow's details."""
    if state.paused:
        return f"paused at `{state.step}`"
    step = plan.steps.get(state.step) if state.step is not None else None
    wake_at = state.wake_at
    until = f" until {wake_at:%Y-%m-%d %H:%M:%S} UTC" if wake_at is not None else ""
    if isinstance(step, WaitEvent):
        events = " or ".join(sorted({arm.when.event for arm in step.arms}))
        return f"`{step.id}` waits for {events}{until}"
    return f"`{state.step}` waits{until}"


def doing(plan: Plan, command: Ask | Send | Perform, channel: str | None = None) -> str:
    """What a command does, for an activity's summary."""
    if isinstance(command, Send):
        return f"send {command.template} by {channel or command.channels[0]}"
    if isinstance(command, Ask):
        return f"look at `{command.step}`"
    step = plan.steps.get(command.step)
    spec = step.spec if isinstance(step, Effect) else {}
    match command.verb:
        case "webhook":
            return f"call the webhook of `{command.step}`"
        case "ad_audience":
            return f"note the change of an audience (`{command.step}`)"
        case "enter":
            return f"enter {spec.get('journey')}"
        case "action":
            return f"run the action {spec.get('name')}"
        case _:
            return f"update the profile (`{command.step}`)"


def failure(error: BaseException) -> str:
    """The innermost cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:300]
