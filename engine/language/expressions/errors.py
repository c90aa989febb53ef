"""What can be wrong with an expression, before it is ever evaluated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake that leaves the tree intact: a wrong name or type.

    `offset` counts characters from the start of the expression's text. `code` is a word, one of `CODES`.
    """

    offset: int
    code: str
    message: str
    expected: str | None = None
    hint: str | None = None


CODES = {
    "syntax": "the text is no expression",
    "too-long": "longer or nested deeper than the limits",
    "not-allowed": "Python knows it, the journey language does not",
    "unknown-name": "a bare word that means nothing",
    "unknown-function": "no such function",
    "arguments": "the wrong number or kind of arguments",
    "length": "a malformed length",
    "out-of-reach": "a name that has no meaning in this place",
    "unknown-property": "an event, profile or answer has no such property",
    "unknown-event": "an event that the catalogue does not declare",
    "unknown-tag": "a tag that the catalogue does not declare",
    "unknown-segment": "a segment that the catalogue does not declare",
    "unknown-stage": "a stage that the catalogue does not declare",
    "unknown-channel": "a channel that there is not",
    "null": "a comparison with literal null",
    "types": "operands whose types never fit",
    "condition": "a condition that is never true or false",
    "nesting": "segments, computed attributes or stages that need each other",
}
"""Every `Problem.code`. Those with `unknown-` before event, property, tag, segment, stage and channel are
references; all others are mistakes of the expression itself."""

REFERENCES: frozenset[str] = frozenset(
    {
        "unknown-property",
        "unknown-event",
        "unknown-tag",
        "unknown-segment",
        "unknown-stage",
        "unknown-channel",
    }
)


class ExpressionError(ValueError):
    """The text is not an expression. Carries the same fields as `Problem`."""

    def __init__(
        self,
        offset: int,
        message: str,
        expected: str | None = None,
        hint: str | None = None,
        code: str = "syntax",
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.expected = expected
        self.hint = hint
        self.code = code

    def problem(self) -> Problem:
        return Problem(self.offset, self.code, self.message, self.expected, self.hint)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?` for the nearest known word, None where nothing is near."""
    near = get_close_matches(word[:100], sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None
