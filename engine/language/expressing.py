"""Expressions where they stand in a file: checked in their scope, mistakes at their column."""

from __future__ import annotations

from engine.language import expressions
from engine.language.diagnostics import Reporter
from engine.language.expressions import ExpressionError, Problem, Tree
from engine.language.loader import Scalar

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


def report(problem: Problem, node: Scalar, reporter: Reporter) -> None:
    reporter.error(
        CODES.get(problem.code, "J501"),
        node.at(problem.offset),
        problem.message,
        expected=problem.expected,
        hint=problem.hint,
    )


def read(node: Scalar, text: str, reporter: Reporter) -> Tree | None:
    """The tree of the expression; None, and a diagnostic, if it is not one."""
    try:
        return expressions.parse(text)
    except ExpressionError as error:
        problem = error.problem()
        report(problem, node, reporter)
        return None
