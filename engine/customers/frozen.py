"""The part of a catalogue that a condition means, as JSON: small, and the same whatever is applied later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from engine.customers.facts import definitions_of
from engine.language.catalogue import Catalogue, EventType, Property, Stage, Tag
from engine.language.expressions import parse, places_used, requirements, texts_of, walk
from engine.language.expressions.tree import Path


def frozen_meaning(text: str, catalogue: Catalogue) -> dict[str, Any]:
    """The definitions that a condition uses, and the types of the attributes and events that it names."""
    definitions = definitions_of(catalogue)
    used = places_used(text, definitions)
    texts = [text, *(each for place in used for each in texts_of(place, definitions))]
    named = {
        node.names[0]
        for each in texts
        for node in walk(parse(each))
        if isinstance(node, Path) and node.root == "profile" and node.names
    }
    happened = requirements(text, definitions).history
    return {
        "segments": {name: catalogue.segments[name] for kind, name in used if kind == "segment"},
        "profile": {
            name: asdict(catalogue.profile[name]) for name in sorted(named) if name in catalogue.profile
        },
        "events": {
            name: {key: about.type for key, about in event.properties.items()}
            for name in sorted(happened)
            if (event := catalogue.events.get(name)) is not None
        },
        "tags": {name: catalogue.rules[name] for kind, name in used if kind == "tag"},
        "stages": [[s.name, s.where] for s in catalogue.stages] if ("stage", "") in used else [],
    }


def thawed_meaning(meaning: Mapping[str, Any] | None) -> Catalogue:
    """The catalogue of what `frozen_meaning` kept."""
    if meaning is None:
        return Catalogue()
    return Catalogue(
        events={
            name: EventType(name, {key: Property(kind) for key, kind in types.items()})
            for name, types in meaning["events"].items()
        },
        profile={
            name: Property(**(about | {"one_of": tuple(about["one_of"])}))
            for name, about in meaning["profile"].items()
        },
        segments=dict(meaning["segments"]),
        stages=tuple(Stage(name, where) for name, where in meaning["stages"]),
        about_tags={name: Tag(name, where=where) for name, where in meaning["tags"].items()},
    )
