"""One message as one customer would get it, without a journey around it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from engine.content.linking import sample_links
from engine.content.scope import Rules
from engine.content.shown import Preview, Wanted, shown
from engine.content.templates import TemplateSet
from engine.language.catalogue import BUILT_IN_ATTRIBUTES, Catalogue
from engine.language.expressions import Facts, event_facts, with_computed
from engine.language.installation import Installation
from engine.language.types import typed
from engine.language.variants import Variants, holding
from engine.simulator.changes import answers_of
from engine.simulator.settings import Surroundings

EVERYTHING = Wanted()


def preview(
    templates: TemplateSet,
    message: str,
    given: Mapping[str, Any],
    at: datetime,
    *,
    catalogue: Catalogue,
    installation: Installation,
    wanted: Wanted = EVERYTHING,
    variants: Variants | None = None,
    rules: Mapping[str, Rules] | None = None,
) -> list[Preview]:
    """The message on each of its channels, or on one.

    Args:
        given: a profile as scenarios give it; `trigger`, `event` and `answers` in it are the template's own,
            `event` being the trigger where it is left out.
        variants: those of all messages.
        rules: by channel, how segments count.

    Raises:
        NotThere: no such message, or none of the kind that is wanted.
    """
    facts, context = _context(given, at, catalogue, installation)
    held = holding((variants or {}).get(message, ()), facts)
    return shown(templates, message, context, held, wanted, rules or {})


def _context(
    given: Mapping[str, Any], at: datetime, catalogue: Catalogue, installation: Installation
) -> tuple[Facts, dict[str, Any]]:
    about = dict(given)
    trigger, event = about.pop("trigger", None) or {}, about.pop("event", None)
    answers = about.pop("answers", None) or {}
    tags, segments = (frozenset(about.pop(word, None) or ()) for word in ("tags", "segments"))
    consents = answers_of(about.pop("consents", None))
    types = {name: each.type for name, each in (*BUILT_IN_ATTRIBUTES.items(), *catalogue.profile.items())}
    surroundings = Surroundings({}, catalogue, installation)
    zone, definitions = surroundings.zone(), surroundings.definitions()
    first = _event(trigger, at, catalogue, zone)
    facts = Facts(
        now=at,
        profile=typed(about, types, zone),
        tags=tags,
        segments=segments,
        consents=consents,
        definitions=definitions,
        zone=zone,
        trigger=first,
        event=first if event is None else _event(event, at, catalogue, zone),
        answers=answers,
    )
    # Nothing is known of what this customer did: what the file says of it counts.
    unsaid = [name for name in definitions.computed if name not in about]
    return facts, {
        "profile": with_computed(facts, unsaid),
        "trigger": first,
        "event": facts.event,
        "answers": answers,
        "now": at,
        "brand": installation.brand,
        "links": sample_links(installation.links.base_url),
    }


def _event(given: Mapping[str, Any], at: datetime, catalogue: Catalogue, zone: tzinfo) -> dict[str, Any]:
    name = str(given.get("name", "preview"))
    declared = catalogue.event(name)
    types = {} if declared is None else {key: each.type for key, each in declared.properties.items()}
    return event_facts(name, "preview", at, given, types, zone)
