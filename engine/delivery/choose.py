"""From a verdict to what becomes of the row: the channel, the rendered message, or the reason why not."""

from __future__ import annotations

from typing import Any

from channels.message import Brand
from channels.message import Message as Outgoing
from engine.content import RenderError
from engine.core.inputs import SkipReason
from engine.delivery.job import Job, Turn
from engine.delivery.ports import Redirect
from engine.policy import Defer, Request, Send, Skip, Verdict
from engine.store.deliveries import Sending

_NO_WAY = ("no_address", "no_consent", "blocked")


def request(job: Job) -> Request:
    """What the rules are asked about this job."""
    channels = tuple(channel for channel in job.step.channels if channel not in job.closed)
    if job.bound is not None:
        channels = (job.bound,)
    enrolment = job.enrolment
    step, at = job.step, job.order.at
    return Request(enrolment.profile_id, channels, step.category, at, enrolment.holdout, step.purpose)


def apply(turn: Turn, job: Job, verdict: Verdict) -> None:
    """Carries out a verdict; a job that may be sent has its message afterwards."""
    match verdict:
        case Send(channels, _, closed):
            job.closed.update(closed)
            job.channels = channels
            next_channel(turn, job)
        case Defer(until, reason, passed_over):
            job.closed.update(passed_over)
            turn.answer(job, "deferred", reason=reason, until=until)
            turn.write(job, "deferred", reason=reason, due_at=until)
        case Skip(reason, passed_over):
            job.closed.update(passed_over)
            skip(turn, job, reason)


def skip(turn: Turn, job: Job, reason: SkipReason, detail: str | None = None) -> None:
    """No message. What was refused by a provider failed; what may have gone out stays unknown."""
    refused = job.refused()
    if job.bound is not None:
        turn.answer(job, "unknown", job.bound)
        turn.write(job, "unknown", job.bound, reason=reason)
    elif refused is not None and reason in _NO_WAY:
        fail(turn, job, refused)
    else:
        turn.answer(job, "skipped", reason=reason)
        turn.write(job, "skipped", reason=reason, raw=None if detail is None else {"detail": detail})


def fail(turn: Turn, job: Job, reason: str, channel: str | None = None, raw: Any = None) -> None:
    """Every channel that was open has refused it for good."""
    turn.answer(job, "failed", reason=reason)
    turn.write(job, "rejected", reason=reason, raw=raw)
    turn.say("message.failed", job, channel)


def next_channel(turn: Turn, job: Job, raw: Any = None, *, refused: str | None = None) -> None:
    """Marks the first open channel `sending`, or hands the order on to whoever serves it.

    `refused` names the channel that comes from a refusal, with `raw`, its provider's word.
    """
    channel = job.channels[0]
    job.message = None
    if not turn.ports.serves(channel) or channel not in turn.ports.adapters:
        turn.answers[job.order.place] = Redirect(channel)
        turn.write(job, "claimed", job.bound or refused, reason=job.refused() or job.row.reason, raw=raw)
        return
    try:
        rendered = turn.project.templates.render(job.step.template, channel, job.context, job.variants)
    except RenderError as error:
        # Only what was passed over before it counts; channels after it were never looked at.
        job.closed = dict(job.passed_over(channel))
        return skip(turn, job, "render", str(error))
    brand = turn.project.installation.brand
    job.message = Outgoing(
        key=job.row.key,
        channel=channel,
        address=job.profile.addresses[channel],
        parts=rendered.parts,
        template=job.step.template,
        at=job.order.at,
        category=job.step.category,
        brand=Brand(brand.get("name"), brand.get("address")),
        journey=job.order.journey,
        enrolment_id=job.order.enrolment_id,
        step=job.order.step,
        attachments=turn.project.attachments.get(job.step.template, ()) if channel == "email" else (),
    )
    if refused is not None:
        turn.write(job, "claimed", refused, reason=job.closed[refused], raw=raw)
    key, template = job.row.row_key, job.step.template
    turn.sending.append(Sending(key, job.attempts, channel, template, rendered.digest, rendered.variant))
