"""`enter`: another journey, asked for by an event that the router turns into an entry."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from engine.core.identity import delivery_key
from engine.effects.job import Job, Turn
from engine.ingest.conditions import MANUAL_ENTRY
from engine.ingest.recording import Internal
from engine.language.types import to_json
from engine.store.events import Event

log = logging.getLogger(__name__)

LONGEST_CHAIN: Final = 10
WITHIN: Final = timedelta(hours=1)


def enter(turn: Turn, job: Job, trigger: Event | None, open_journeys: Collection[str]) -> None:
    """Asks for an entry; `trigger` is the event that began this enrolment, which tells what led to it.

    The asking event carries the instants of the entries before it. More than `LONGEST_CHAIN` of them within
    an hour are refused and reported. `open_journeys` can be entered, or are paused and count who would have.
    """
    chain = [] if trigger is None else trigger.properties.get("chain")
    instants = [at for at in chain if isinstance(at, str)] if isinstance(chain, list) else []
    recent = [at for at in instants if job.order.at - datetime.fromisoformat(at) <= WITHIN]
    journey = str(job.step.spec.get("journey"))
    if journey not in open_journeys:
        return turn.settle(job, "failed", f"journey {journey} is not live")
    if len(recent) >= LONGEST_CHAIN:
        log.error(
            "%s/%s: `enter: %s` refused: %d journeys have entered one another within an hour",
            job.order.journey,
            job.order.step,
            journey,
            len(recent),
        )
        return turn.settle(job, "failed", f"a chain of more than {LONGEST_CHAIN} entries within an hour")
    properties = {
        "journey": journey,
        "with": {name: to_json(value) for name, value in job.values("with").items()},
        "chain": [*recent, job.order.at.isoformat()],
    }
    message_id = f"enter/{delivery_key(*job.order.place)}"
    event = Internal(job.enrolment.profile_id, MANUAL_ENTRY, job.order.at, message_id, properties)
    turn.events.append((job.order.place, event))
    turn.settle(job, "done")
