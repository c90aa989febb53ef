"""The fixed list of functions: their arguments and the type each gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Argument = Literal[
    "any",
    "text",
    "number",
    "tag",
    "channel",
    "moment",
    "whole",
    "event",
    "property",
    "word",
    "segment",
    "within",
    "half_life",
]
"""What may stand there. `event property word segment within half_life` must be literal text, so that whoever
loads facts, and the SQL back end, know before any evaluation what is needed. `property` names one that holds
a number, `word` one that holds text. `whole` is what `contains` looks in."""

LENGTHS: frozenset[str] = frozenset({"within", "half_life"})
LITERAL: frozenset[str] = frozenset({"event", "property", "word", "segment"}) | LENGTHS
SHOWN: dict[str, str] = {"word": "property"}
"""How an argument is called where a call is written out."""


@dataclass(frozen=True, slots=True)
class Signature:
    arguments: tuple[Argument, ...]
    gives: str
    optional: int = 0
    """How many of the last arguments may be left out."""

    def usage(self, name: str) -> str:
        """How the call is written: `count(event, within)`."""
        needed = len(self.arguments) - self.optional
        shown = [SHOWN.get(argument, argument) for argument in self.arguments]
        words = [w if i < needed else f"{w}?" for i, w in enumerate(shown)]
        return f"{name}({', '.join(words)})"


SIGNATURES: dict[str, Signature] = {
    "has_tag": Signature(("tag",), "boolean"),
    "in_segment": Signature(("segment",), "boolean"),
    "stage": Signature((), "text"),
    "count": Signature(("event", "within"), "number", optional=1),
    "total": Signature(("event", "property", "within"), "number", optional=1),
    "favourite": Signature(("event", "word", "within"), "text", optional=1),
    "decayed": Signature(("event", "half_life"), "number"),
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
