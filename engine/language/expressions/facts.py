"""What an expression is evaluated on: one customer at one logical instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, tzinfo
from typing import Any

from engine.core.values import dataclass
from engine.language.types import Value, typed


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One event of the customer's history."""

    at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    order: int = 0
    """Order of arrival, among events of one instant."""


History = Mapping[str, Sequence[Occurrence]]


def history_up_to(history: History, at: datetime, order: int) -> History:
    """A history as an event saw it that occurred at `at`, `order` its place among those of its instant."""

    def later(each: Occurrence) -> bool:
        return (each.at, each.order) > (at, order)

    if not any(occurred and later(occurred[-1]) for occurred in history.values()):
        return history
    return {name: [each for each in occurred if not later(each)] for name, occurred in history.items()}


@dataclass(frozen=True, slots=True)
class Definitions:
    """The catalogue's own expressions: dynamic segments, computed attributes, stages in file order, and tags
    that a rule keeps."""

    segments: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[tuple[str, str | None]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


NOTHING_DEFINED = Definitions()


@dataclass(slots=True)
class Facts:
    """One customer at `now`. Good for one instant: what was worked out for segments is kept inside.

    Values are those of `engine.language.types`: whoever loads facts reads properties with `typed` (events:
    `event_facts`), so that a wrong type is null. `segments` is static membership. `history` is ascending by
    `at`; a name that is absent never occurred. `zone` is where a bare date begins.
    """

    now: datetime
    key: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    stage: str | None = None
    consents: Mapping[str, bool] = field(default_factory=dict)
    trigger: Mapping[str, Any] | None = None
    event: Mapping[str, Any] | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Sequence[Occurrence]] = field(default_factory=dict)
    definitions: Definitions = NOTHING_DEFINED
    zone: tzinfo = UTC
    _known: dict[tuple[str, str], Value] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Worked out for this instant: ("segment" | "computed" | "stage", name) to value."""
    _open: list[tuple[str, str]] = field(default_factory=list, init=False, repr=False, compare=False)
    """Being worked out just now, to notice definitions that need each other."""


def event_facts(
    name: str,
    event_id: str,
    occurred_at: datetime,
    properties: Mapping[str, Any],
    types: Mapping[str, str] | None = None,
    zone: tzinfo = UTC,
) -> dict[str, Value]:
    """An event as `event` and `trigger` show it: properties by their declared types, flat beside `name id
    occurred_at`, which win over properties of the same name. `zone` is the installation's, for instants
    without an offset."""
    flat = typed(properties, types or {}, zone)
    flat.update(name=name, id=event_id, occurred_at=occurred_at)
    return flat
