"""The typed tree of an expression: what both back ends (closures, SQL) are written on.

Nodes are frozen and compare by meaning: `offset`, the column in the authored text, takes no part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Literal

Root = Literal["event", "trigger", "profile", "answers"]
Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
Operator = Literal["+", "-", "*", "/", "%"]


@dataclass(frozen=True, slots=True)
class Constant:
    """`null`, a boolean, a number (whole ones as `int`) or text. A length such as `"30d"` is text."""

    value: bool | int | float | str | None
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Tree, ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """`event.a.b` is `Path("event", ("a", "b"))`; without names it is the whole object."""

    root: Root
    names: tuple[str, ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Now:
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Occurred:
    """`last(event)` and `first(event)`: its instant, or with names a property of that event."""

    which: Literal["first", "last"]
    event: str
    names: tuple[str, ...] = ()
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function other than `first` and `last`, with the right number of arguments.

    Where `functions.SIGNATURES` asks for a literal, the argument is a `Constant` holding text.
    """

    function: str
    arguments: tuple[Tree, ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    operand: Tree
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Logic:
    operator: Literal["and", "or"]
    operands: tuple[Tree, ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`a < b <= c`: the first operand, then each comparison with its right side. All must hold."""

    first: Tree
    rest: tuple[tuple[Comparison, Tree], ...]
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    operator: Operator
    left: Tree
    right: Tree
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Negate:
    operand: Tree
    offset: int = field(default=0, compare=False)


Tree = Constant | Items | Path | Now | Occurred | Call | Not | Logic | Compare | Arithmetic | Negate


def children(tree: Tree) -> tuple[Tree, ...]:
    match tree:
        case Items(items):
            return items
        case Call(_, arguments):
            return arguments
        case Not(operand) | Negate(operand):
            return (operand,)
        case Logic(_, operands):
            return operands
        case Compare(first, rest):
            return (first, *(right for _, right in rest))
        case Arithmetic(_, left, right):
            return (left, right)
    return ()


def walk(tree: Tree) -> Iterator[Tree]:
    """Every node, parents before children, from left to right."""
    yield tree
    for child in children(tree):
        yield from walk(child)


_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _MINUS, _ATOM = range(8)


def normal(tree: Tree) -> str:
    """Canonical text: `parse(normal(tree)) == tree`, and equal trees have equal text."""
    return _text(tree, _OR)


def _text(tree: Tree, least: int) -> str:
    text, level = _written(tree)
    return text if level >= least else f"({text})"


def _written(tree: Tree) -> tuple[str, int]:
    match tree:
        case Constant(value):
            negative = isinstance(value, int | float) and not isinstance(value, bool) and value < 0
            return json.dumps(value, ensure_ascii=False), _MINUS if negative else _ATOM
        case Items(items):
            return "[" + ", ".join(map(normal, items)) + "]", _ATOM
        case Path(root, names):
            return root + "".join(map(_step, names)), _ATOM
        case Now():
            return "now", _ATOM
        case Occurred(which, event, names):
            return f"{which}({json.dumps(event, ensure_ascii=False)})" + "".join(map(_step, names)), _ATOM
        case Call(function, arguments):
            return f"{function}({', '.join(map(normal, arguments))})", _ATOM
        case Not(operand):
            return f"not {_text(operand, _NOT)}", _NOT
        case Logic(operator, operands):
            level = _OR if operator == "or" else _AND
            return f" {operator} ".join(_text(operand, level + 1) for operand in operands), level
        case Compare(first, rest):
            tail = "".join(f" {operator} {_text(right, _SUM)}" for operator, right in rest)
            return _text(first, _SUM) + tail, _COMPARE
        case Arithmetic(operator, left, right):
            level = _SUM if operator in "+-" else _PRODUCT
            return f"{_text(left, level)} {operator} {_text(right, level + 1)}", level
        case Negate(operand):
            return f"-{_text(operand, _MINUS)}", _MINUS


def _step(name: str) -> str:
    if name.isascii() and name.isidentifier() and not iskeyword(name):
        return f".{name}"
    return f"[{json.dumps(name, ensure_ascii=False)}]"
