"""The driver's activities: orders for delivery and effects, answers, and the close. A batch of one each.

Sends and effects raise a retryable `ApplicationError` for what is worth another try, so that Temporal
counts, spaces and shows the tries; everything that a step must know comes back as an input for the core.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from engine.core import wire
from engine.core.commands import Question, Trace
from engine.core.inputs import Answered, Settled
from engine.delivery import AskOrder, Order, Redirect, Retry, answer, deliver
from engine.delivery.ports import DeliveryPorts
from engine.effects import perform
from engine.effects.ports import EffectPorts
from engine.ingest.close import Close, close_enrolments
from engine.store import clock
from engine.temporal.payloads import Result, Work
from engine.temporal.queues import ASK, CATCH_UP, CLOSE, PERFORM, SEND

Answers = Sequence[Settled | Redirect | Retry]
BEAT = 3.0
"""Seconds between two heartbeats. Most sends are over before the first one, and cost the server nothing."""


class SendActivities:
    """What a send worker of one channel does."""

    def __init__(self, ports: DeliveryPorts) -> None:
        self._ports = ports

    @activity.defn(name=SEND)
    async def send(self, work: Work) -> Result:
        """Delivers the message of one step."""
        return await _settled(lambda orders: deliver(self._ports, orders), work)


class EffectActivities:
    """Webhooks, updates, entries and actions."""

    def __init__(self, ports: EffectPorts) -> None:
        self._ports = ports

    @activity.defn(name=PERFORM)
    async def perform(self, work: Work) -> Result:
        """Performs the effect of one step."""
        return await _settled(lambda orders: perform(self._ports, orders), work)


class JourneyActivities:
    """What the journeys' worker looks up and writes beside the workflow itself."""

    def __init__(self, ports: DeliveryPorts) -> None:
        self._ports = ports

    @activity.defn(name=ASK)
    async def ask(self, work: Work) -> Result:
        """Answers one question of the core."""
        at = datetime.fromisoformat(work.at)
        questions = tuple(
            Question(text, "zone" if kind == "zone" else "expression") for kind, text in work.questions
        )
        order = AskOrder(
            enrolment_id=work.enrolment_id,
            at=at,
            event_id=work.event_id,
            questions=questions,
            trace=_lines(work),
            trace_from=work.trace_from,
        )
        [values] = await answer(self._ports, [order])
        return Result(wire.to_json(Answered(work.ask_id, tuple(values), self._ports.at(at))))

    @activity.defn(name=CATCH_UP)
    async def catch_up(self, work: Work) -> Result:
        """Comes back once the enrolment has been handed all that happened up to `at`. Scaled clocks only."""
        async with self._ports.database.connect() as connection:
            if not await clock.caught_up(connection, work.enrolment_id, datetime.fromisoformat(work.at)):
                raise ApplicationError(
                    "not everything up to here has come yet", category=ApplicationErrorCategory.BENIGN
                )
        return Result()

    @activity.defn(name=CLOSE)
    async def close(self, work: Work) -> Result:
        """Records the end of an enrolment, and what entry makes of it."""
        await close_enrolments(self._ports, [Close.from_work(work)])
        return Result()


async def _settled(run: Callable[[Sequence[Order]], Awaitable[Answers]], work: Work) -> Result:
    assert work.step is not None
    order = Order(
        enrolment_id=work.enrolment_id,
        journey=work.journey,
        digest=work.digest,
        step=work.step,
        at=datetime.fromisoformat(work.at),
        event_id=work.event_id,
        channel_hint=work.channel,
        attempt=work.attempt,
        trace=_lines(work),
        trace_from=work.trace_from,
    )
    with saying_so():
        [found] = await run([order])
    match found:
        case Redirect():
            return Result(redirect=found.channel)
        case Retry():
            raise ApplicationError(
                found.reason,
                type="TryAgain",
                next_retry_delay=found.after,
                # A provider that says "later" is no error of ours to log.
                category=ApplicationErrorCategory.BENIGN,
            )
        case _:
            return Result(wire.to_json(found))


def _lines(work: Work) -> tuple[Trace, ...]:
    return tuple(wire.input_from_json(line) for line in work.trace)


@contextlib.contextmanager
def saying_so() -> Iterator[None]:
    """Tells Temporal now and then that this worker is still at it: one that is killed is then soon missed."""
    loop = asyncio.get_running_loop()
    next_beat: asyncio.TimerHandle

    def beat() -> None:
        nonlocal next_beat
        activity.heartbeat()
        next_beat = loop.call_later(BEAT, beat)

    next_beat = loop.call_later(BEAT, beat)
    try:
        yield
    finally:
        next_beat.cancel()
