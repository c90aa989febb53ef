"""The fixed list of functions: their arguments and the type each gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Argument = Literal[
    "any", "text", "number", "tag", "channel", "moment", "whole", "event", "property", "segment", "within"
]
"""What may stand there. `event property segment within` must be literal text, so that whoever loads facts,
and the SQL back end, know before any evaluation what is needed. `whole` is what `contains` looks in."""

LITERAL: frozenset[str] = frozenset({"event", "property", "segment", "within"})


@dataclass(frozen=True, slots=True)
class Signature:
    arguments: tuple[Argument, ...]
    gives: str
    optional: int = 0
    """How many of the last arguments may be left out."""

    def usage(self, name: str) -> str:
        """How the call is written: `count(event, within)`."""
        needed = len(self.arguments) - self.optional
        words = [w if i < needed else f"{w}?" for i, w in enumerate(self.arguments)]
        return f"{name}({', '.join(words)})"


SIGNATURES: dict[str, Signature] = {
    "has_tag": Signature(("tag",), "boolean"),
    "in_segment": Signature(("segment",), "boolean"),
    "stage": Signature((), "text"),
    "count": Signature(("event", "within"), "number", optional=1),
    "total": Signature(("event", "property", "within"), "number", optional=1),
    "last": Signature(("event",), "datetime"),
    "first": Signature(("event",), "datetime"),
    "days_since": Signature(("moment",), "number"),
    "exists": Signature(("any",), "boolean"),
    "lower": Signature(("text",), "text"),
    "starts_with": Signature(("text", "text"), "boolean"),
    "contains": Signature(("whole", "any"), "boolean"),
    "bucket": Signature(("text", "number"), "number"),
    "consent": Signature(("channel",), "boolean"),
}
