"""What is known of the values that templates show: how long they are at most, and which are never null."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Map
from typing import Any

from engine.language.catalogue import Catalogue, Property


def extent(found: Property) -> int | None:
    """Characters of a text, items of a list, at most; None where nothing is declared."""
    if found.longest is None and found.one_of and found.type == "text":
        return max(len(str(value)) for value in found.one_of)
    return found.longest


def extents_of(
    catalogue: Catalogue, trigger: str | None, events: Iterable[str], brand: Map[str, Any]
) -> dict[str, int]:
    """By path, `trigger.cart_id`, where a message stands. `events` are those that `event` may be there."""
    found = {f"brand.{name}": len(str(value)) for name, value in brand.items()}
    found |= _of("profile", [catalogue.profile])
    found |= _of("trigger", _properties(catalogue, [trigger] if trigger else []))
    return found | _of("event", _properties(catalogue, events))


def certain_in(catalogue: Catalogue) -> frozenset[str]:
    """Attributes that everybody has: those that are worked out, and whether it is to be personal."""
    worked_out = (name for name, about in catalogue.profile.items() if about.computed is not None)
    return frozenset(f"profile.{name}" for name in (*worked_out, "personalise"))


def _properties(catalogue: Catalogue, names: Iterable[str]) -> list[Map[str, Property]]:
    events = (catalogue.event(name) for name in names)
    return [event.properties for event in events if event is not None]


def _of(root: str, each: list[Map[str, Property]]) -> dict[str, int]:
    found: dict[str, int | None] = {}
    for properties in each:
        for name, about in properties.items():
            known, most = found.get(name, 0), extent(about)
            found[name] = None if known is None or most is None else max(known, most)
    return {f"{root}.{name}": most for name, most in found.items() if most is not None}
