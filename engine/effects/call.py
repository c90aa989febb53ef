"""`webhook` and `action`: calls that leave our database. One attempt each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from engine.delivery.ports import Retry
from engine.delivery.settle import pause
from engine.effects.job import Job
from engine.effects.ports import EffectPorts
from engine.language.types import to_json
from engine.sdk import ActionContext, Refused
from engine.sdk.invoke import invoke

log = logging.getLogger(__name__)

WEBHOOK_TYPE: Final = "journey.webhook"
"""`type` of the default body."""
NOT_HERE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Done:
    answer: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str


Result = Done | Failed | Retry


async def webhook(ports: EffectPorts, job: Job) -> Result:
    """Calls the URL once. An unknown outcome is called again: receivers know a repeat by `webhook-id`."""
    spec = job.step.spec
    try:
        answer = await ports.webhooks.call(
            spec["url"], spec.get("method") or "POST", body_of(job), job.row.key
        )
    except Rejected as refusal:
        return Failed(str(refusal))
    except (Throttled, Unavailable, Unknown) as trouble:
        retry_for = timedelta(seconds=spec.get("retry_for") or 0)
        after = getattr(trouble, "retry_after", None) or pause(job.row.attempts)
        if datetime.now(UTC) + after - job.row.created_at > retry_for:
            return Failed(f"gave up after {job.row.attempts} calls; the last was {trouble}")
        return Retry(after, str(trouble))
    return Done(answer.json)


def body_of(job: Job) -> dict[str, Any]:
    """The step's own body, or the default one."""
    if job.step.spec.get("body") is not None:
        return {name: to_json(value) for name, value in job.values("body").items()}
    return {
        "type": WEBHOOK_TYPE,
        "enrolment": job.enrolment.id,
        "step": job.order.step,
        "external_id": job.enrolment.external_id,
        "trigger": to_json(job.facts.trigger),
    }


async def action(ports: EffectPorts, job: Job) -> Result:
    """Calls the registered function once."""
    name = str(job.step.spec.get("name"))
    registered = ports.actions.get(name)
    if registered is None:
        # Another worker may have it, or this one after its next release: nothing is lost meanwhile.
        return Retry(NOT_HERE, f"no action `{name}` is installed in this worker")
    context = ActionContext(
        job.row.key,
        job.enrolment.id,
        job.order.step,
        job.enrolment.external_id,
        job.order.at,
        job.row.attempts,
    )
    try:
        return Done(await invoke(registered, job.values("with"), context))
    except Refused as refusal:
        return Failed(str(refusal))
    except Exception as error:
        # Only the kind: the text of such errors may quote the customer.
        kind = type(error).__name__
        log.warning("action %s failed in %s/%s: %s", name, job.order.journey, job.order.step, kind)
        after = registered.retries.pause(job.row.attempts)
        if after is None:
            return Failed(f"{kind} in action {name}, after {job.row.attempts} calls")
        return Retry(after, f"{kind} in action {name}")
