"""Expressions: text to a small typed tree, checked against what is in reach, compiled to closures.

Total and two-valued: missing is null, nothing raises at evaluation. `parse` is the only way in and raises
`ExpressionError` alone. The tree is the meeting point of both back ends. No clock, no I/O: `Facts` carries
`now`.
"""

from engine.language.expressions.check import EVENT_TYPES, Scope, check, check_typed
from engine.language.expressions.closures import (
    compile_expression,
    compile_tree,
    evaluate,
    holds,
    with_computed,
)
from engine.language.expressions.definitions import check_definitions
from engine.language.expressions.errors import CODES, REFERENCES, ExpressionError, Problem
from engine.language.expressions.facts import Definitions, Facts, Occurrence, event_facts, history_up_to
from engine.language.expressions.parse import LONGEST, MAX_DEPTH, parse
from engine.language.expressions.requirements import Requirements, places_used, requirements, texts_of
from engine.language.expressions.tree import Tree, normal, walk

__all__ = [
    "CODES",
    "EVENT_TYPES",
    "LONGEST",
    "MAX_DEPTH",
    "REFERENCES",
    "Definitions",
    "ExpressionError",
    "Facts",
    "Occurrence",
    "Problem",
    "Requirements",
    "Scope",
    "Tree",
    "check",
    "check_definitions",
    "check_typed",
    "compile_expression",
    "compile_tree",
    "evaluate",
    "event_facts",
    "history_up_to",
    "holds",
    "normal",
    "parse",
    "places_used",
    "requirements",
    "texts_of",
    "walk",
    "with_computed",
]
