"""The catalogue's own expressions together: what no single one of them shows."""

from __future__ import annotations

from engine.language.expressions.check import Scope, check
from engine.language.expressions.closures import MAX_NESTING
from engine.language.expressions.errors import ExpressionError, Problem
from engine.language.expressions.facts import Definitions
from engine.language.expressions.parse import parse
from engine.language.expressions.requirements import Place, Requirements, add_needs, texts_of


def check_definitions(definitions: Definitions, scope: Scope) -> dict[tuple[str, str], list[Problem]]:
    """Mistakes of the catalogue's own expressions, keyed by ("segment" | "computed" | "stage", name).

    Includes what no single expression shows: definitions that need each other, or lie deeper than
    `MAX_NESTING`.
    """
    found: dict[tuple[str, str], list[Problem]] = {}
    texts = [
        *((("segment", name), text) for name, text in definitions.segments.items()),
        *((("computed", name), text) for name, text in definitions.computed.items()),
        *((("stage", name), text) for name, text in definitions.stages if text is not None),
    ]
    deep = depths(definitions)
    for place, text in texts:
        try:
            problems = check(parse(text), scope, condition=place[0] != "computed")
        except ExpressionError as error:
            found[place] = [error.problem()]
            continue
        depth = deep.get(place if place[0] != "stage" else ("stage", ""), 0)
        if depth is None:
            problems.append(Problem(0, "nesting", f"the {place[0]} `{place[1]}` needs itself"))
        elif depth > MAX_NESTING:
            message = f"the {place[0]} `{place[1]}` needs others, {depth} deep"
            problems.append(Problem(0, "nesting", message, f"at most {MAX_NESTING}"))
        if problems:
            found[place] = problems
    return found


def depths(definitions: Definitions) -> dict[Place, int | None]:
    """How many definitions deep each one goes (1: it needs no other); None: it needs itself.

    Definitions that cannot be parsed count as needing nothing.
    """
    places: list[Place] = [
        *(("segment", name) for name in definitions.segments),
        *(("computed", name) for name in definitions.computed),
        *(("tag", name) for name in definitions.tags),
        ("stage", ""),
    ]
    uses = {place: _uses(place, definitions) for place in places}
    found: dict[Place, int | None] = {}
    # One round a level: what is left when a round changes nothing lies on a cycle, or leads to one.
    for _ in places:
        ready = [p for p in places if p not in found and all(used in found for used in uses[p])]
        if not ready:
            break
        for place in ready:
            found[place] = 1 + max((found[used] or 0 for used in uses[place]), default=0)
    for place in places:
        if place not in found:
            found[place] = None if _reaches(place, place, uses) else 0
    return found


def _uses(place: Place, definitions: Definitions) -> set[Place]:
    uses: set[Place] = set()
    for text in texts_of(place, definitions):
        try:
            uses |= add_needs(text, Requirements(), definitions)
        except ValueError:
            continue
    return uses


def _reaches(start: Place, goal: Place, uses: dict[Place, set[Place]]) -> bool:
    waiting, seen = list(uses[start]), set[Place]()
    while waiting:
        place = waiting.pop()
        if place == goal:
            return True
        if place not in seen:
            seen.add(place)
            waiting.extend(uses[place])
    return False
