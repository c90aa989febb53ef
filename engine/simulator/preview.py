"""One message as one customer would get it, without a journey around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from engine.content.errors import RenderError
from engine.content.linking import sample_links
from engine.content.sms import sms_segments
from engine.content.templates import TemplateSet
from engine.language.catalogue import BUILT_IN_ATTRIBUTES, Catalogue
from engine.language.expressions import Facts, event_facts, with_computed
from engine.language.installation import Installation
from engine.language.types import typed
from engine.simulator.changes import answers_of
from engine.simulator.settings import Surroundings


@dataclass(frozen=True, slots=True)
class Preview:
    """`parts` by name, or `problem`: why it cannot be rendered for this customer."""

    channel: str
    parts: dict[str, str]
    problem: str | None = None
    sms: str | None = None
    """For a text message: how many segments it takes, in words."""


def preview(
    templates: TemplateSet,
    message: str,
    given: Mapping[str, Any],
    at: datetime,
    *,
    catalogue: Catalogue,
    installation: Installation,
    channel: str | None = None,
) -> list[Preview]:
    """The message on each of its channels, or on one.

    Args:
        given: a profile as scenarios give it; `trigger`, `event` and `answers` in it are the template's own,
            `event` being the trigger where it is left out.

    Raises:
        KeyError: no such message, or none for this channel.
    """
    channels = templates.channels(message)
    if not channels or (channel is not None and channel not in channels):
        raise KeyError(message)
    context = _context(given, at, catalogue, installation)
    return [_one(templates, message, each, context) for each in ([channel] if channel else channels)]


def _context(
    given: Mapping[str, Any], at: datetime, catalogue: Catalogue, installation: Installation
) -> dict[str, Any]:
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
    )
    # Nothing is known of what this customer did: what the file says of it counts.
    unsaid = [name for name in definitions.computed if name not in about]
    return {
        "profile": with_computed(facts, unsaid),
        "trigger": first,
        "event": first if event is None else _event(event, at, catalogue, zone),
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


def _one(templates: TemplateSet, message: str, channel: str, context: dict[str, Any]) -> Preview:
    try:
        parts = templates.render(message, channel, context).parts
    except RenderError as error:
        return Preview(channel, {}, str(error))
    length = None
    if channel == "sms" and "text" in parts:
        size = sms_segments(parts["text"])
        length = f"{size.units} characters, {size.count} {'segment' if size.count == 1 else 'segments'}"
    return Preview(channel, parts, sms=length)
