"""From a verdict to what becomes of the row: the channel, the rendered message, or the reason why not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from channels.message import Brand
from channels.message import Message as Outgoing
from channels.routing import provider_of
from engine.content import RenderError
from engine.core.inputs import SkipReason
from engine.delivery.job import Job, Turn
from engine.delivery.limits import policy_of, told
from engine.delivery.linking import MessageLinks
from engine.delivery.ports import Redirect
from engine.delivery.route import hours_of, routed
from engine.delivery.sight import address_digest
from engine.policy import Closed, Defer, Held, Request, Send, Skip, Verdict, Why
from engine.store.delivery_states import Sending

_NO_WAY = ("no_address", "no_consent", "blocked")


def request(turn: Turn, job: Job, *, over: bool, late: bool) -> Request:
    """What the rules are asked about this job: of its policy as it is now, at the instant it is now."""
    channels = tuple(channel for channel in job.step.channels if channel not in job.closed)
    if job.bound is not None:
        channels = (job.bound,)
    enrolment = job.enrolment
    step, order = job.step, job.order
    return Request(
        enrolment.profile_id,
        channels,
        step.category,
        turn.at(order),
        enrolment.holdout,
        step.purpose,
        policy=policy_of(turn.project, turn.plans[order.digest]),
        journey=order.journey,
        key=job.row.key,
        since=job.row.at,
        rank=turn.project.installation.rank(order.journey),
        over=over,
        late=late,
        repeat=job.bound is not None,
        best_time=step.send_at == "best_time",
        hours=hours_of(turn, job, channels),
    )


def apply(turn: Turn, job: Job, verdict: Verdict) -> None:
    """Carries out a verdict; a job that may be sent has its message afterwards."""
    job.why = told(turn.at(job.order), verdict.kind, verdict.why)
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
    turn.links.pop(job.order.place, None)
    if not turn.ports.serves(channel) or channel not in turn.ports.adapters:
        turn.answers[job.order.place] = Redirect(channel)
        turn.write(job, "claimed", job.bound or refused, reason=job.refused() or job.row.reason, raw=raw)
        return
    links = MessageLinks(turn, job, channel)
    try:
        context = links.context()
        rendered = turn.project.templates.render(job.step.template, channel, context, job.variants)
    except RenderError as error:
        # Only what was passed over before it counts; channels after it were never looked at.
        job.closed = dict(job.passed_over(channel))
        return skip(turn, job, "render", str(error))
    brand = turn.project.installation.brand
    message = Outgoing(
        key=job.row.key,
        channel=channel,
        address=job.profile.addresses[channel],
        parts=links.shortened(rendered.parts),
        template=job.step.template,
        at=job.order.at,
        category=job.step.category,
        brand=Brand(brand.get("name"), brand.get("address")),
        journey=job.order.journey,
        enrolment_id=job.order.enrolment_id,
        step=job.order.step,
        unsubscribe_url=links.one_click,
        metadata={"locale": job.enrolment.profile.locale or turn.project.installation.locale},
        attachments=turn.project.attachments.get(job.step.template, ()) if channel == "email" else (),
    )
    job.message = message = routed(turn, job, message)
    closes_at = turn.ports.adapters[channel].closes_at(message)
    if closes_at is not None and closes_at <= datetime.now(UTC):
        return _closed(turn, job, channel, raw, refused)
    if refused is not None:
        turn.write(job, "claimed", refused, reason=job.closed[refused], raw=raw)
    handed_at, why, job.why = turn.at(job.order), job.why, None
    turn.sending.append(
        Sending(
            job.row.row_key,
            job.attempts,
            channel,
            job.step.template,
            rendered.digest,
            handed_at,
            why=why,
            template_variant=rendered.variant,
            provider=provider_of(message),
            address_digest=address_digest(message.address),
        )
    )


def _closed(turn: Turn, job: Job, channel: str, raw: Any, refused: str | None) -> None:
    """The provider takes this message no more: the next channel, or none."""
    job.message = None
    job.closed[channel] = "window"
    job.channels = job.channels[1:]
    if job.channels and job.bound is None:
        next_channel(turn, job, raw, refused=refused)
    else:
        skip(turn, job, "window")


def pass_over(turn: Turn, job: Job, found: Closed | Held) -> None:
    """Its message is rendered and may not go out by its channel: by the next, later, or not at all."""
    channel = job.channels[0]
    sending = next(each for each in turn.sending if each.key == job.row.row_key)
    turn.sending.remove(sending)
    job.message = job.quota = None
    until = found.until if isinstance(found, Held) else None
    verdict = "send" if isinstance(found, Closed) else "skip" if until is None else "defer"
    said = told(turn.at(job.order), verdict, (Why(channel, found.reason, until, found.saw),))
    job.why = [*(sending.why or ()), *(said or ())] or None
    if until is not None:
        turn.answer(job, "deferred", reason=found.reason, until=until)
        turn.write(job, "deferred", reason=found.reason, due_at=until)
        return
    job.closed[channel] = found.reason
    job.channels = job.channels[1:]
    if job.channels and isinstance(found, Closed):
        next_channel(turn, job)
    else:
        skip(turn, job, cast(SkipReason, job.passed_over()[0][1]))
