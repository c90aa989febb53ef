"""What a template may name, for its check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ROOTS = ("profile", "trigger", "event", "answers", "now", "brand", "links")


@dataclass(frozen=True, slots=True)
class TemplateScope:
    """Properties and types that are in reach where the message stands; None: the name has no meaning there.

    `brand` None is not checked. `name id occurred_at` of events need not be given. `answers` are the names
    saved by steps of the journey.
    """

    profile: Mapping[str, str] = field(default_factory=dict)
    trigger: Mapping[str, str] | None = None
    event: Mapping[str, str] | None = None
    answers: frozenset[str] = frozenset()
    brand: frozenset[str] | None = None
