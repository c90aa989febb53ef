"""`update`: attributes, tags, stage. Done in the transaction that settles it."""

from __future__ import annotations

from typing import Any

from engine.core.identity import delivery_key
from engine.customers.profiles import ADDRESSES, set_address
from engine.effects.job import Job, Turn
from engine.ingest.recording import Internal
from engine.language.types import coerce, to_json
from engine.store.profiles import Change


def update(turn: Turn, job: Job) -> None:
    """Works out all of the change from the profile as it is, then writes it. Null clears."""
    spec = job.step.spec
    change = Change(job.enrolment.profile_id, source=f"journey {job.enrolment.journey}")
    for name, value in job.values("set").items():
        about = turn.project.catalogue.attribute(name)
        known = value if about is None else coerce(to_json(value), about.type, job.facts.zone)
        _set(change, name, to_json(known), turn.project.installation.identities.phone_region)
    change.add_tags = tuple(spec.get("add_tags") or ())
    change.remove_tags = tuple(spec.get("remove_tags") or ())
    change.stage = spec.get("stage")
    turn.changes.append((job.order.place, change))
    before = job.facts.stage
    if change.stage is not None and change.stage != before:
        message_id = f"{delivery_key(*job.order.place)}/stage"
        properties = {"stage": change.stage, "before": before}
        at = turn.at(job.order)
        event = Internal(job.enrolment.profile_id, "stage.changed", at, message_id, properties)
        turn.events.append((job.order.place, event))
    turn.settle(job, "done")


def _set(change: Change, name: str, value: Any, region: str | None) -> None:
    if name in ADDRESSES:
        set_address(change, name, value, region)
    elif name == "time_zone":
        change.time_zone = value
    elif name == "locale":
        change.locale = value
    elif name not in ("external_id", "anonymous_id"):  # who somebody is comes from events alone
        change.attributes[name] = value
