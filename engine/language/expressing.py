"""Expressions where they stand in a file: checked in their scope, mistakes at their column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as Map
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engine.language import expressions
from engine.language.catalogue import Property
from engine.language.diagnostics import Reporter
from engine.language.expressions import ExpressionError, Facts, Problem, Scope, Tree
from engine.language.expressions.tree import (
    Arithmetic,
    Compare,
    Constant,
    Items,
    Logic,
    Negate,
    Not,
)
from engine.language.loader import Node, Scalar
from engine.language.words import Words

CODES = {
    "syntax": "J501",
    "too-long": "J511",
    "not-allowed": "J502",
    "unknown-name": "J503",
    "unknown-function": "J504",
    "arguments": "J505",
    "length": "J204",
    "out-of-reach": "J508",
    "unknown-property": "J302",
    "unknown-event": "J301",
    "unknown-tag": "J305",
    "unknown-segment": "J304",
    "unknown-stage": "J311",
    "unknown-channel": "J306",
    "null": "J507",
    "types": "J506",
    "condition": "J510",
    "nesting": "J512",
}
"""The words of `expressions.errors` to our codes."""

_BARE = re.compile(r"[^\W\d][\w -]*")
_FIXED = (Constant, Items, Logic, Not, Compare, Arithmetic, Negate)
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def report(problem: Problem, node: Scalar, reporter: Reporter) -> None:
    """The problem as a diagnostic of the file, at its column where that can be known."""
    hint, code = problem.hint, CODES.get(problem.code, "J501")
    if problem.message.startswith("unknown answer"):
        code, hint = (
            "J315",
            hint if hint and "did you" in hint else "an earlier step must keep it with `save_as`",
        )
    if problem.code == "syntax" and " #" in (reporter.line(node.mark.line) or "") and node.plain:
        hint = "` #` begins a comment: put the whole expression in quotes"
    reporter.error(
        code,
        node.at(problem.offset),
        problem.message,
        expected=problem.expected,
        hint=hint,
    )


def types_of(properties: Map[str, Property]) -> dict[str, str]:
    return {name: found.type for name, found in properties.items()}


def merged(each: Iterable[Map[str, str]]) -> dict[str, str]:
    """Properties of several possible events; `any` where their types differ."""
    types: dict[str, str] = {}
    for properties in each:
        for name, kind in properties.items():
            types[name] = kind if types.get(name, kind) == kind else "any"
    return types


def base_scope(words: Words) -> Scope:
    """What every expression of the project can name: no event, no trigger, no answers yet."""
    catalogue = words.catalogue
    attributes = ((name, catalogue.attribute(name)) for name in catalogue.attribute_names())
    events = ((name, catalogue.event(name)) for name in catalogue.event_names())
    return Scope(
        profile={name: found.type for name, found in attributes if found is not None},
        events={name: types_of(found.properties) for name, found in events if found is not None},
        tags=frozenset(catalogue.tags),
        segments=frozenset(catalogue.segments),
        stages=frozenset(stage.name for stage in catalogue.stages),
        channels=frozenset((*words.channel_names(), "marketing")),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression stands: its scope, and which of `event` and `trigger` are of an unknown event
    that is reported already."""

    scope: Scope
    vague: frozenset[str] = frozenset()

    def with_event(self, types: Map[str, str] | None) -> Place:
        """The same place with `event` being one of these properties; None: an unknown event."""
        if types is None:
            return Place(replace(self.scope, event={}), self.vague | {"event"})
        return Place(replace(self.scope, event=types), self.vague - {"event"})

    def without(self, root: str, why: str) -> Place:
        scope = replace(self.scope, why={**self.scope.why, root: why})
        return Place(replace(scope, trigger=None) if root == "trigger" else scope, self.vague)


def check(
    node: Node | None, place: Place, reporter: Reporter, *, condition: bool = False
) -> tuple[Tree, str] | None:
    """Check an expression; its tree and type, or None if it is none."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
        return None
    try:
        tree = expressions.parse(node.value)
    except ExpressionError as error:
        report(error.problem(), node, reporter)
        return None
    problems, kind = expressions.check_typed(tree, place.scope, condition)
    for problem in problems:
        if problem.code != "unknown-property" or not any(
            problem.message.startswith(f"unknown property of {root} ") for root in place.vague
        ):
            report(problem, node, reporter)
    return tree, kind


def check_value(node: Node, place: Place, reporter: Reporter) -> tuple[Tree, str] | None:
    """As `check`, for an entry of `set`, `with` or `body`, where authors forget the quotes of text."""
    if isinstance(node, Scalar) and not isinstance(node.value, str):
        value = node.value
        kind = "null" if value is None else "boolean" if isinstance(value, bool) else "number"
        return Constant(value), kind
    if isinstance(node, Scalar) and isinstance(node.value, str):
        try:
            expressions.parse(node.value)
        except ExpressionError as error:
            if error.code in ("unknown-name", "syntax") and _BARE.fullmatch(node.value):
                reporter.error(
                    "J509",
                    node.mark,
                    f"`{node.value[:60]}` is not an expression",
                    expected="an expression, a number, `true` or `false`",
                    hint=f"text is written with quotes inside quotes: `\"'{node.value[:60]}'\"`",
                )
                return None
    return check(node, place, reporter)


def fits(tree: Tree, kind: str, wanted: str) -> bool:
    """Whether a value of that type can be stored as `wanted`, as far as it can be seen."""
    if kind in (wanted, "any", "null") or wanted == "any":
        return True
    if {kind, wanted} <= {"date", "datetime"}:
        return True
    # A date has no literal of its own: `"'2026-11-11'"` is how one is written.
    return kind == "text" and wanted in ("date", "datetime") and isinstance(tree, Constant)


def constant(tree: Tree) -> bool | None:
    """Whether a condition always or never holds; None where that depends on something."""
    if not all(isinstance(each, _FIXED) for each in expressions.walk(tree)):
        return None
    return expressions.compile_tree(tree)(Facts(_ANY_DAY)) is True
