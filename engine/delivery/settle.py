"""From a provider's answer to what becomes of the row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.pacing import Outcome
from channels.receipt import Accepted
from channels.routing import provider_of
from engine.core.inputs import Settled
from engine.delivery.choose import fail, next_channel
from engine.delivery.job import PERHAPS_SENT, REFUSED, Job, Turn
from engine.delivery.ports import DeliveryPorts, LiveProject, Retry
from engine.delivery.route import another_provider
from engine.delivery.sight import address_digest
from engine.store.consents import Consent
from engine.store.deliveries import Delivery

MOST_UNKNOWN: Final = 5
"""Claims after which an outcome that stays unknown is settled as such, also where repeating is safe."""
LONGEST_PAUSE: Final = timedelta(minutes=5)
_SENT: Final = ("accepted", "delivered", "bounced", "complained")


def settle(turn: Turn, job: Job, outcome: Outcome) -> None:
    """What becomes of a job after its call. It has a message still if its next channel is to be called."""
    message = job.message
    assert message is not None
    channel = message.channel
    job.message = None
    if isinstance(outcome, Rejected | Throttled | Unavailable) and another_provider(
        turn, job, message, outcome
    ):
        turn.write(job, "claimed", channel, reason=str(outcome), raw=_raw(outcome.raw))
        return next_channel(turn, job)
    match outcome:
        case Accepted(provider_id, raw):
            turn.answer(job, "sent", channel)
            turn.write(job, "accepted", channel, provider_id=provider_id, raw=_raw(raw))
            turn.say("message.sent", job, channel)
        case Rejected():
            _rejected(turn, job, channel, outcome)
        case Throttled() | Unavailable():
            turn.give_back(job)
            turn.answers[job.order.place] = Retry(outcome.retry_after or pause(job.attempts), str(outcome))
            word = str(outcome) if job.bound is None else f"{PERHAPS_SENT} before, now {outcome}"
            turn.write(job, "claimed", channel, reason=word, raw=_raw(outcome.raw))
        case Unknown():
            _unknown(turn, job, channel, outcome, provider_of(message))


def _rejected(turn: Turn, job: Job, channel: str, outcome: Rejected) -> None:
    raw = _raw(outcome.raw)
    turn.give_back(job)
    if outcome.permanent:
        job.dead.append([channel, address_digest(job.profile.addresses[channel])])
    if outcome.opt_out:
        at, profile_id = turn.at(job.order), job.enrolment.profile_id
        turn.opted_out.append(Consent(profile_id, channel, False, at, source="provider"))
    job.closed[channel] = f"{REFUSED}: {outcome.reason}"
    job.channels = job.channels[1:]
    # An earlier call by this channel may have gone through: no other channel may be tried then.
    if not job.channels or job.bound is not None:
        return fail(turn, job, job.closed[channel], channel, raw)
    next_channel(turn, job, raw, refused=channel)


def _unknown(turn: Turn, job: Job, channel: str, outcome: Unknown, provider: str | None) -> None:
    if job.attempts < MOST_UNKNOWN and may_repeat(turn.ports, turn.project, channel, provider):
        turn.answers[job.order.place] = Retry(pause(job.attempts), str(outcome))
        turn.write(job, "claimed", channel, reason=_perhaps(outcome), raw=_raw(outcome.raw))
    else:
        turn.answer(job, "unknown", channel)
        turn.write(job, "unknown", channel, reason=_perhaps(outcome), raw=_raw(outcome.raw))
        turn.say("message.sent", job, channel, assumed=True)


def _perhaps(outcome: Unknown) -> str:
    return str(outcome)  # begins with PERHAPS_SENT: see `channels.errors.Unknown`


def may_repeat(
    ports: DeliveryPorts, project: LiveProject, channel: str | None, provider: str | None = None
) -> bool:
    """After an unknown outcome: the adapter honours our key, or the channel's settings want it so."""
    if channel is None:
        return False
    adapter = ports.adapters.get(channel)
    safe = adapter is not None and adapter.capabilities_of(provider).idempotent
    return safe or project.installation.channel(channel).on_unknown == "retry"


def pause(attempts: int) -> timedelta:
    """How long to wait after so many calls, where the provider named no length."""
    return min(LONGEST_PAUSE, timedelta(seconds=2 ** min(attempts - 1, 20)))


def outcome_of(row: Delivery, at: datetime, state: str | None = None) -> Settled:
    """How a settled row came out; `state` if it is not the row's own."""
    passed = tuple((channel, reason) for channel, reason in row.passed_over)
    match state or row.state:
        case "unknown":
            return Settled(row.step, "unknown", at, row.channel, passed_over=passed)
        case "skipped":
            return Settled(row.step, "skipped", at, reason=row.reason, passed_over=passed)
        case known if known in _SENT:
            return Settled(row.step, "sent", at, row.channel, passed_over=passed)
    return Settled(row.step, "failed", at, reason=row.reason, passed_over=passed)


def _raw(text: str | None) -> dict[str, Any] | None:
    return None if text is None else {"answer": text}
