"""Facts for expressions and templates, for a batch of enrolments at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.core.calendar import zone_of
from engine.core.plan import Plan
from engine.customers import facts as customers
from engine.delivery.ports import LiveProject
from engine.delivery.sight import Enrolment
from engine.ingest.conditions import trigger_facts
from engine.language.catalogue import PERSONALISE, Catalogue
from engine.language.expressions import Definitions, Facts, Requirements, requirements, with_computed
from engine.language.variants import holding
from engine.store import events

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


@dataclass(slots=True)
class Look:
    """One enrolment at one instant. `event_id` None is its trigger; `expressions` say what will be asked."""

    enrolment: Enrolment
    plan: Plan
    at: datetime
    event_id: str | None = None
    expressions: tuple[str, ...] = ()


async def load_facts(
    connection: AsyncConnection, project: LiveProject, looks: Sequence[Look], *, afresh: bool = False
) -> list[Facts]:
    """Facts for each look, in order. `afresh` reads profiles again: they may have changed since the look."""
    if not looks:
        return []
    wanted = {look.event_id for look in looks if look.event_id not in (None, look.enrolment.trigger_event_id)}
    found = await events.get_batch(connection, [i for i in wanted if i is not None]) if wanted else {}
    catalogue, time_zone = project.catalogue, project.installation.time_zone
    definitions = customers.definitions_of(catalogue)
    requests = []
    for look in looks:
        trigger = _trigger(look, catalogue, time_zone)
        event = found.get(look.event_id or "")
        seen = trigger if event is None else customers.facts_of_event(catalogue, event, time_zone)
        requests.append(
            customers.FactsRequest(
                look.enrolment.profile_id,
                look.at,
                needs_of(look.expressions, definitions),
                trigger,
                seen,
                look.enrolment.answers,
            )
        )
    rule = project.installation.consent["marketing"]
    known = None if afresh else {look.enrolment.profile_id: look.enrolment.profile for look in looks}
    return await customers.load_facts(connection, requests, catalogue, time_zone, rule, known)


def _trigger(look: Look, catalogue: Catalogue, time_zone: str) -> dict[str, Any]:
    enrolment = look.enrolment
    zone = zone_of(time_zone)
    return trigger_facts(look.plan, enrolment.trigger, enrolment.entered_at, catalogue, zone)


def needs_of(expressions: tuple[str, ...], definitions: Definitions) -> Requirements:
    """What is to be loaded for these expressions."""
    if not expressions:
        return Requirements()
    texts = tuple(definitions.segments.items()), tuple(definitions.computed.items())
    return _required(expressions, *texts, tuple(definitions.stages), tuple(definitions.tags.items()))


@lru_cache(maxsize=2048)
def _required(
    expressions: tuple[str, ...],
    segments: tuple[tuple[str, str], ...],
    computed: tuple[tuple[str, str], ...],
    stages: tuple[tuple[str, str | None], ...],
    tags: tuple[tuple[str, str], ...],
) -> Requirements:
    return requirements(expressions, Definitions(dict(segments), dict(computed), stages, dict(tags)))


def computed_in(project: LiveProject, message: str) -> tuple[str, ...]:
    """`profile.NAME` of each attribute that nobody sets and that the templates of this message mention."""
    computed = [name for name, about in project.catalogue.profile.items() if about.derived]
    if not computed:
        return ()
    source = project.templates.text_of(message)
    return tuple(f"profile.{name}" for name in computed if name in source)


def conditions_in(project: LiveProject, message: str) -> tuple[str, ...]:
    """The conditions of the message's variants."""
    return tuple(each.where for each in project.variants.get(message, ()))


def variants_for(facts: Facts, project: LiveProject, message: str) -> tuple[str, ...]:
    """The message's variants that hold; none is looked at for whom it is not to be personal."""
    if facts.profile.get(PERSONALISE) is False:
        return ()
    return holding(project.variants.get(message, ()), facts)


def template_context(facts: Facts, project: LiveProject, computed: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """The names that templates see; `computed` as `computed_in` gave them."""
    return {
        "profile": with_computed(facts, (text.removeprefix("profile.") for text in computed)),
        "trigger": facts.trigger,
        "event": facts.event,
        "answers": facts.answers,
        "now": facts.now,
        "brand": project.installation.brand,
        "links": {},
    }
