"""`update`: attributes, tags, stage. Done in the transaction that settles it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from engine.core.identity import delivery_key
from engine.customers.profiles import ADDRESSES, expiry, set_address
from engine.delivery.ports import Place
from engine.effects.job import Job, Staged, Turn
from engine.ingest.recording import Internal, stage_changed
from engine.language.types import coerce, to_json
from engine.store import derived
from engine.store.derived import NewStage
from engine.store.profiles import Change

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


def update(turn: Turn, job: Job) -> None:
    """Works out all of the change from the profile as it is, then writes it. Null clears."""
    spec = job.step.spec
    catalogue, at = turn.project.catalogue, turn.at(job.order)
    change = Change(job.enrolment.profile_id, source=f"journey {job.enrolment.journey}", tags_at=at)
    for name, value in job.values("set").items():
        about = catalogue.attribute(name)
        known = value if about is None else coerce(to_json(value), about.type, job.facts.zone)
        _set(change, name, to_json(known), turn.project.installation.identities.phone_region)
    # A rule may have come to keep a tag since the journey was applied.
    change.add_tags = tuple(tag for tag in spec.get("add_tags") or () if tag not in catalogue.rules)
    change.remove_tags = tuple(tag for tag in spec.get("remove_tags") or () if tag not in catalogue.rules)
    change.expire = expiry(catalogue, change.add_tags, at)
    change.stage = spec.get("stage")
    turn.changes.append((job.order.place, change))
    if change.stage is not None:
        staged = Staged(job.order.place, job.enrolment.profile_id, job.facts.stage, change.stage, at)
        turn.stages.append(staged)
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


async def stage_events(
    connection: AsyncConnection, turn: Turn, kept: Collection[Place]
) -> Sequence[Internal]:
    """What is to be said of new stages. Where stages are followed they are written here, so that nobody says
    it again; elsewhere only a word by hand is known of."""
    staged = [each for each in turn.stages if each.place in kept]
    if not staged:
        return []
    if not any(each.kind == "stage" and each.filled for each in await derived.followed(connection)):
        return [_by_hand(each) for each in staged if each.stage != each.before]
    beginning = turn.project.catalogue.beginning
    known = await derived.stages(connection, {each.profile_id for each in staged})
    new = []
    for each in staged:
        before = known[each.profile_id][0] if each.profile_id in known else beginning
        if before != each.stage:
            new.append(NewStage(each.profile_id, each.profile_id in known, before, each.stage, each.at))
    return [stage_changed(change) for change in await derived.change_stages(connection, new, beginning)]


def _by_hand(staged: Staged) -> Internal:
    properties = {"stage": staged.stage, "before": staged.before}
    message_id = f"{delivery_key(*staged.place)}/stage"
    return Internal(staged.profile_id, "stage.changed", staged.at, message_id, properties)
