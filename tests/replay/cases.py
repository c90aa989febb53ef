"""What the recorded histories were made of: a plan and what happens to one enrolment of it.

Plans are known by name here instead of by digest, so that a history keeps its plan whatever a digest is made
of. A case that is changed must be recorded again; a history that was recorded by an older engine stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from engine.core import wire
from engine.core.inputs import Answered, Control, EventSeen, Settled
from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Condition,
    Effect,
    Goal,
    Message,
    Plan,
    Split,
    Step,
    Trigger,
    Variant,
    WaitEvent,
    WaitLength,
    WaitTime,
)
from engine.temporal.payloads import Result, Work
from engine.temporal.queues import ASK, CATCH_UP, CLOSE, PERFORM, SEND

SECOND = timedelta(seconds=1)


def _plan(name: str, *steps: Step, **rest: Any) -> Plan:
    return Plan(
        journey=name,
        trigger=Trigger("event", event="cart.updated"),
        steps={step.id: step for step in steps},
        first=steps[0].id,
        goal=Goal(Condition("goal", "order.paid"), timedelta(days=3)),
        exit_events=(Condition("exit.0", "cart.emptied"),),
        **rest,
    )


EVERY_COMMAND = _plan(
    "every-command",
    Branch("look", "ask-zone", (Case("trigger.total > 50", "offer"),), "offer"),
    Split("offer", "pause", (Variant("plain", 10_000, "plain"), Variant("coupon", 0, "plain"))),
    Message("plain", "note", "cart-reminder", ("sms",)),
    Effect("note", "call", "update", {"set": {}, "add_tags": ["seen"], "remove_tags": [], "stage": None}),
    Effect("call", "pass-on", "webhook", {"url": "https://example.com", "retry_for": 1}, "answer"),
    Effect("pass-on", "grant", "enter", {"journey": "other", "with": {}}),
    Effect("grant", "pause", "action", {"name": "grant", "with": {}}),
    WaitLength("pause", "last", SECOND),
    Message("last", None, "cart-last-call", ("sms", "email")),
    Message("ask-zone", None, "never", ("sms",)),
)
WAITING = _plan(
    "waiting",
    Message("first", "wait", "cart-reminder", ("sms",)),
    WaitEvent(
        "wait",
        None,
        (Arm(Condition("wait.0", "message.clicked"), "thanks"),),
        timedelta(seconds=3),
        "last",
    ),
    Message("thanks", None, "thanks", ("sms",)),
    Message("last", None, "cart-last-call", ("sms",)),
)
LONG = _plan(
    "long",
    WaitEvent(
        "wait", "last", (Arm(Condition("wait.0", "message.clicked"), "last"),), timedelta(days=1), "last"
    ),
    Message("last", None, "cart-last-call", ("sms",)),
)
MORNING = _plan(
    "morning",
    WaitTime("tomorrow", "first", "10:00", (), "profile"),
    Message("first", "pause", "cart-reminder", ("sms",)),
    WaitLength("pause", None, timedelta(days=2)),
    max_age=timedelta(days=2),
)
PLANS_BY_NAME = {plan.journey: plan for plan in (EVERY_COMMAND, WAITING, LONG, MORNING)}


class Answers:
    """Activities that settle everything, or as `settle` says for a step, and can be held in between."""

    def __init__(self, settle: dict[str, list[Result | Exception]]) -> None:
        self._settle = {step: list(results) for step, results in settle.items()}
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def _result(self, work: Work, usual: Settled) -> Result:
        assert work.step is not None
        self.begun.append(work.step)
        await self.go_on.wait()
        planned = self._settle.get(work.step)
        result = planned.pop(0) if planned else Result(wire.to_json(usual))
        if isinstance(result, Exception):
            raise result
        return result

    @activity.defn(name=SEND)
    async def send(self, work: Work) -> Result:
        at = datetime.fromisoformat(work.at)
        return await self._result(work, Settled(work.step or "", "sent", at, channel=work.channel or "sms"))

    @activity.defn(name=PERFORM)
    async def perform(self, work: Work) -> Result:
        return await self._result(work, Settled(work.step or "", "done", datetime.fromisoformat(work.at)))

    @activity.defn(name=ASK)
    async def ask(self, work: Work) -> Result:
        values = tuple("UTC" if kind == "zone" else True for kind, _ in work.questions)
        return Result(wire.to_json(Answered(work.ask_id, values, datetime.fromisoformat(work.at))))

    @activity.defn(name=CATCH_UP)
    async def catch_up(self, work: Work) -> Result:
        return Result()

    @activity.defn(name=CLOSE)
    async def close(self, work: Work) -> Result:
        return Result()


class Hands:
    """What a case may do to its enrolment while it runs."""

    def __init__(
        self,
        answers: Answers,
        wake: Callable[[Sequence[dict[str, Any]]], Awaitable[None]],
        cancel: Callable[[], Awaitable[None]],
    ) -> None:
        self.answers, self.wake, self.cancel = answers, wake, cancel

    async def begun(self, step: str) -> None:
        """Waits until the activity of that step runs."""
        async with asyncio.timeout(20):
            while step not in self.answers.begun:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)

    async def event(self, name: str, *held: str, id: str = "") -> None:
        now = datetime.now(UTC)
        await self.wake([wire.to_json(EventSeen(id or f"{name}-1", name, now, now, 1, held))])

    async def control(self, control: Control) -> None:
        await self.wake([wire.to_json(control)])


async def _nothing(hands: Hands) -> None:
    pass


async def _click(hands: Hands) -> None:
    await hands.begun("first")
    await hands.event("message.clicked", "wait.0")
    await hands.event("message.clicked", "wait.0")


async def _goal_during_send(hands: Hands) -> None:
    hands.answers.go_on.clear()
    await hands.begun("first")
    await hands.event("order.paid", "goal")
    await asyncio.sleep(0.3)
    hands.answers.go_on.set()


async def _exit_in_a_wait(hands: Hands) -> None:
    await hands.begun("first")
    await hands.event("cart.emptied", "exit.0")


async def _pause(hands: Hands) -> None:
    await hands.begun("first")
    await hands.control(Control("pause", datetime.now(UTC)))
    await asyncio.sleep(3.5)
    await hands.control(Control("resume", datetime.now(UTC)))


async def _cancel(hands: Hands) -> None:
    await hands.begun("first")
    await hands.cancel()


async def _cancel_during_send(hands: Hands) -> None:
    hands.answers.go_on.clear()
    await hands.begun("first")
    await hands.cancel()
    await asyncio.sleep(0.3)
    hands.answers.go_on.set()


async def _superseded(hands: Hands) -> None:
    await hands.begun("first")
    await hands.control(Control("end", datetime.now(UTC), "superseded"))


async def _many_ignored_wakes(hands: Hands) -> None:
    await asyncio.sleep(0.3)
    for number in range(12):
        await hands.event("page.viewed", id=f"view-{number}")
        await asyncio.sleep(0.05)
    await hands.event("message.clicked", "wait.0")


@dataclass(frozen=True)
class Recorded:
    """One case. `exit` is what the enrolment must end with."""

    name: str
    plan: Plan
    exit: str
    act: Callable[[Hands], Awaitable[None]] = _nothing
    settle: dict[str, list[Result | Exception]] = field(default_factory=dict)
    speed: float | None = None
    """Of a scaled clock, logical seconds a second."""
    history_limit: int | None = None


_UNTIL = datetime(2026, 3, 28, 12, tzinfo=UTC)
CASES = (
    Recorded("every-command", EVERY_COMMAND, "completed"),
    Recorded("time-limit", WAITING, "completed"),
    Recorded("click", WAITING, "completed", _click),
    Recorded("goal-during-send", WAITING, "goal", _goal_during_send),
    Recorded("exit-in-a-wait", WAITING, "exit_rule", _exit_in_a_wait),
    Recorded("pause-and-resume", WAITING, "completed", _pause),
    Recorded("cancel", WAITING, "cancelled", _cancel),
    Recorded("cancel-during-send", WAITING, "cancelled", _cancel_during_send),
    Recorded("superseded", WAITING, "superseded", _superseded),
    Recorded(
        "redirect",
        WAITING,
        "completed",
        _click,
        settle={"first": [Result(redirect="email")]},
    ),
    Recorded(
        "retried-and-failed",
        EVERY_COMMAND,
        "completed",
        settle={
            "plain": [
                ApplicationError("the provider is away", next_retry_delay=timedelta(seconds=0.1)),
                ApplicationError("broken for good", non_retryable=True),
            ]
        },
    ),
    Recorded(
        "deferred-on-a-scaled-clock",
        MORNING,
        "expired",
        settle={
            "first": [
                Result(wire.to_json(Settled("first", "deferred", _UNTIL, reason="quiet_hours", until=_UNTIL)))
            ]
        },
        speed=100_000,
    ),
    Recorded("continue-as-new", LONG, "completed", _many_ignored_wakes, history_limit=20),
)
