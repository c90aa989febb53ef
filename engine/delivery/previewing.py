"""Messages as customers of the database would get them now. Nothing is sent, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.content.linking import sample_links
from engine.core.calendar import zone_of
from engine.core.codec import plan_from_json
from engine.core.plan import Message, Plan
from engine.customers import facts as customers
from engine.delivery.facts import computed_in, conditions_in, needs_of, template_context, variants_for
from engine.delivery.ports import LiveProject
from engine.ingest.conditions import trigger_facts
from engine.language.addresses import KINDS
from engine.language.types import Value
from engine.store import enrolments, plans
from engine.store.enrolments import Enrolment, Filter

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

RECENT = 20
"""Enrolments of a customer that are looked through for one with this message."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the template sees of one customer, and the variants that hold. `note`: what its trigger is."""

    context: Mapping[str, Any]
    variants: tuple[str, ...]
    note: str


async def seen_by(
    connection: AsyncConnection, project: LiveProject, profile_ids: Sequence[str], message: str, at: datetime
) -> list[Seen]:
    """For each customer what the message would be rendered from at this logical instant.

    `trigger` and `answers` are those of the latest enrolment in a journey with this message; without one
    there is no trigger.
    """
    found = [await _latest(connection, profile_id, message) for profile_id in profile_ids]
    definitions = customers.definitions_of(project.catalogue)
    computed = computed_in(project, message)
    needs = needs_of((*computed, *conditions_in(project, message)), definitions)
    zone = project.installation.time_zone
    requests = []
    for profile_id, last in zip(profile_ids, found, strict=True):
        trigger, answers = None, {}
        if last is not None:
            enrolment, plan = last
            trigger, answers = _trigger(enrolment, plan, project), enrolment.answers
        requests.append(customers.FactsRequest(profile_id, at, needs, trigger, trigger, answers))
    rule = project.installation.consent["marketing"]
    facts = await customers.load_facts(connection, requests, project.catalogue, zone, rule)
    return [
        Seen(
            {
                **template_context(each, project, computed),
                "links": sample_links(project.installation.links.base_url),
            },
            variants_for(each, project, message),
            "without a trigger" if last is None else f"with the trigger of enrolment {last[0].id}",
        )
        for each, last in zip(facts, found, strict=True)
    ]


def _trigger(enrolment: Enrolment, plan: Plan, project: LiveProject) -> dict[str, Value]:
    zone = zone_of(project.installation.time_zone)
    return trigger_facts(plan, enrolment.trigger, enrolment.entered_at, project.catalogue, zone)


async def _latest(
    connection: AsyncConnection, profile_id: str, message: str
) -> tuple[Enrolment, Plan] | None:
    listed = await enrolments.find(connection, Filter(profile_id=profile_id), limit=RECENT)
    stored = await plans.by_digest(connection, {each.digest for each in listed})
    read = {digest: plan_from_json(plan) for digest, plan in stored.items()}
    for each in listed:
        plan = read.get(each.digest)
        if plan is not None and any(
            isinstance(step, Message) and step.template == message for step in plan.steps.values()
        ):
            return each, plan
    return None


class SampleItem(dict[str, Any]):
    """Something of which nothing is declared: whatever is asked of it has its name for its value."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return f"‹{name}›"


def sample_of(project: LiveProject, at: datetime) -> Mapping[str, Any]:
    """What a template sees of nobody in particular: each declared name stands for its value."""
    items = [SampleItem(), SampleItem()]
    samples: dict[str, Any] = {"number": 100, "boolean": True, "date": at.date(), "datetime": at}
    samples |= {"list": items, "object": items[0]}
    catalogue = project.catalogue
    declared = dict.fromkeys(KINDS, "text")
    declared |= {name: about.type for name, about in catalogue.profile.items()}
    events = {
        name: about.type for event in catalogue.events.values() for name, about in event.properties.items()
    }

    def values(types: Mapping[str, str]) -> dict[str, Any]:
        return {name: samples.get(kind, f"‹{name}›") for name, kind in types.items()}

    event = values(events) | {"name": "‹event›", "id": "‹id›", "occurred_at": at}
    return {
        "profile": values(declared),
        "trigger": event,
        "event": event,
        "answers": {},
        "now": at,
        "brand": project.installation.brand,
        "links": sample_links(project.installation.links.base_url),
    }
