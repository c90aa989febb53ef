"""What a template may name, and by which rules it is sent, for its check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ROOTS = ("profile", "trigger", "event", "answers", "now", "brand", "links")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a message on its channel.

    `adapter` is the channel's. `mainland`: carriers of mainland China count. `signature` is what the provider
    puts before a text message, with its brackets; `approved` its approved texts, variables in braces. `price`
    is of one segment.
    """

    category: str = "marketing"
    adapter: str = "outbox"
    mainland: bool = False
    signature: str | None = None
    approved: tuple[str, ...] = ()
    most_segments: int = 3
    price: float | None = None
    currency: str = ""
    html_kilobytes: int = 102
    ways_out: bool = True
    """Whether `links.unsubscribe` and `links.preferences` are there."""

    @property
    def real(self) -> bool:
        """Whether messages leave the house."""
        return self.adapter != "outbox"


@dataclass(frozen=True, slots=True)
class TemplateScope:
    """Properties and types that are in reach where the message stands; None: the name has no meaning there.

    `brand` None is not checked. `name id occurred_at` of events need not be given. `answers` are the names
    saved by steps of the journey. `extents`: `profile.first_name` and the like to how many characters, or
    items of a list, they have at most; `certain` of them are never null.
    """

    profile: Mapping[str, str] = field(default_factory=dict)
    trigger: Mapping[str, str] | None = None
    event: Mapping[str, str] | None = None
    answers: frozenset[str] = frozenset()
    brand: frozenset[str] | None = None
    extents: Mapping[str, int] = field(default_factory=dict)
    certain: frozenset[str] = frozenset()
    rules: Rules = Rules()

    def type_of(self, root: str, name: str) -> str | None:
        """The declared type of `root.name`."""
        types = {"profile": self.profile, "trigger": self.trigger, "event": self.event}.get(root)
        return (types or {}).get(name)
