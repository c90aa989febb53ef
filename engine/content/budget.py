"""What one rendering may cost. Everything a template can repeat or grow is charged here."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from engine.content.errors import RenderError

MOST_ROUNDS = 10_000
"""Rounds of loops and calls, together."""
MOST_CHARACTERS = 2_000_000
"""Characters made on the way, intermediate values included."""
LONGEST_VALUE = 200_000
"""Of one text or list."""
LONGEST_OUTPUT = 500_000
LONGEST_SOURCE = 100_000
LONGEST_ASSEMBLED = 400_000
"""Of a template with its layout and blocks put in."""


@dataclass(slots=True)
class Budget:
    rounds: int = MOST_ROUNDS
    characters: int = MOST_CHARACTERS

    def spend_rounds(self, rounds: int) -> None:
        self.rounds -= rounds
        if self.rounds < 0:
            raise RenderError(f"the template loops more than {MOST_ROUNDS:,} times")

    def spend_characters(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise RenderError("the template grows beyond its limit")


current: ContextVar[Budget | None] = ContextVar("template_budget", default=None)
"""Of the rendering under way; filters and operators have no other way to it."""


def spend_rounds(rounds: int) -> None:
    budget = current.get()
    if budget is not None:
        budget.spend_rounds(rounds)


def measured(length: int) -> None:
    """Charges a text or list of this length before it is made, or refuses it."""
    if length > LONGEST_VALUE:
        raise RenderError(f"a value of more than {LONGEST_VALUE:,} characters")
    budget = current.get()
    if budget is not None:
        budget.characters -= length
        if budget.characters < 0:
            raise RenderError("the template grows beyond its limit")


def spend_characters(characters: int) -> None:
    budget = current.get()
    if budget is not None:
        budget.spend_characters(characters)
