"""Text to tree. Python's own grammar reads the text, a fixed list says what of it is ours.

Bounded: text beyond `LONGEST` characters, brackets beyond `MAX_BRACKETS` or a tree beyond `MAX_DEPTH` are
refused before they can cost anything, so that no text makes Python's parser or our recursion run out.
"""

from __future__ import annotations

import ast
import math
import warnings
from functools import lru_cache
from typing import Any, get_args

from engine.language.expressions.errors import ExpressionError, did_you_mean
from engine.language.expressions.functions import LENGTHS, LITERAL, SHOWN, SIGNATURES, Argument
from engine.language.expressions.tree import (
    Arithmetic,
    Call,
    Compare,
    Comparison,
    Constant,
    Items,
    Logic,
    Negate,
    Not,
    Now,
    Occurred,
    Operator,
    Path,
    Root,
    Tree,
)
from engine.language.lengths import parse_length

LONGEST = 5_000
MAX_BRACKETS = 30
MAX_DEPTH = 50

ROOTS: tuple[Root, ...] = get_args(Root)
_WORDS = (*ROOTS, "now", "true", "false", "null")
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_ARITHMETIC: dict[type[ast.operator], Operator] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
}
_COMPARISONS: dict[type[ast.cmpop], Comparison] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_FOREIGN: dict[type[ast.AST], tuple[str, str | None]] = {
    ast.IfExp: ("`if … else`", "use a `branch` step"),
    ast.Lambda: ("`lambda`", None),
    ast.NamedExpr: ("`:=`", "compare with `==`"),
    ast.Dict: ("`{…}`", None),
    ast.Set: ("`{…}`", "a list is written `[…]`"),
    ast.Tuple: ("a list without brackets", "a list is written `[…]`"),
    ast.JoinedStr: ("an f-string", None),
    ast.Starred: ("`*`", None),
    ast.Await: ("`await`", None),
    ast.Yield: ("`yield`", None),
    ast.ListComp: ("a comprehension", None),
    ast.GeneratorExp: ("a comprehension", None),
    ast.Slice: ("a slice", None),
    ast.Pow: ("`**`", None),
    ast.FloorDiv: ("`//`", "use `/`"),
    ast.Is: ("`is`", "use `==`, or `exists(…)`"),
    ast.IsNot: ("`is not`", "use `!=`, or `exists(…)`"),
    ast.Invert: ("`~`", "use `not`"),
    ast.UAdd: ("a `+` before a value", "leave it out"),
    ast.BitAnd: ("`&`", "use `and`"),
    ast.BitOr: ("`|`", "use `or`"),
}


@lru_cache(maxsize=4096)
def parse(text: str) -> Tree:
    """The tree of `text`. Raises `ExpressionError` for whatever is not an expression, and nothing else."""
    if len(text) > LONGEST:
        raise ExpressionError(
            0,
            f"the expression is {len(text):,} characters long",
            f"at most {LONGEST:,} characters",
            "move parts of it into a segment of the catalogue",
            "too-long",
        )
    flat = _flatten(text)
    lead = len(flat) - len(flat.lstrip(" "))
    source = flat.strip(" ")
    if not source:
        raise ExpressionError(0, "the expression is empty", "a condition or a value")
    return _Reader(source, lead).read(_python(source, lead), 0)


def _flatten(text: str) -> str:
    """`text` on one line, every character in its place; refuses what Python would silently leave out."""
    flat: list[str] = []
    quote = ""
    depth = 0
    skip = False
    for offset, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise ExpressionError(offset, "a character that text cannot hold")
        if skip:
            skip = False
        elif quote:
            if character == "\\":
                skip = True
            elif character == quote:
                quote = ""
            elif character in "\r\n":
                raise ExpressionError(offset, "the text is not closed before the end of its line", quote)
        elif character in "\"'":
            if text.startswith(character * 3, offset):
                raise ExpressionError(
                    offset, "triple quotes are not part of the journey language", code="not-allowed"
                )
            quote = character
        elif character in "\r\n\t\f\v":
            character = " "
        elif character == "#":
            raise ExpressionError(offset, "a comment inside an expression", hint="write it as a YAML comment")
        elif character in "([{":
            depth += 1
            if depth > MAX_BRACKETS:
                raise ExpressionError(
                    offset,
                    f"brackets are nested deeper than {MAX_BRACKETS}",
                    hint="move parts of it into a segment of the catalogue",
                    code="too-long",
                )
        elif character in ")]}":
            depth -= 1
        flat.append(character)
    return "".join(flat)


def _python(source: str, lead: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        # Python says 0 for "at the end".
        column = error.offset - 1 if error.offset else len(source)
        raise _syntax_error(source, min(column, len(source)), lead, error.msg) from None
    except (RecursionError, MemoryError):
        raise ExpressionError(
            lead,
            "the expression is nested too deeply",
            hint="move parts of it into a segment of the catalogue",
            code="too-long",
        ) from None
    except (ValueError, OverflowError):
        raise ExpressionError(lead, "this is not an expression") from None


def _syntax_error(source: str, column: int, lead: int, message: str) -> ExpressionError:
    rest = source[column:]
    before = source[:column].rstrip()
    hint = None
    if "=" in source[column : column + 1] or "Maybe you meant '=='" in message:
        hint = "compare with `==`"
    elif rest.startswith(("&&", "&")) or "&&" in source:
        hint = "write `and`"
    elif rest.startswith("||") or "||" in source:
        hint = "write `or`"
    elif rest.startswith("!") and not rest.startswith("!="):
        hint = "write `not`"
    elif before.endswith("."):
        hint = 'an awkward name is written in brackets: event["class"]'
    if "never closed" in message or "unmatched" in message or "does not match" in message:
        said = message
    elif "unterminated string" in message:
        said = "the text is not closed: its second quote is missing"
    elif not rest.strip():
        said = "the expression ends too early"
    elif "digits" in message or "literal" in message:
        said = "this is no number"
    else:
        said = f"cannot read the expression from `{rest[:20].strip()}` on"
    return ExpressionError(lead + column, said, "a name, a value, an operator or a function", hint)


class _Reader:
    """Turns Python's nodes into ours."""

    def __init__(self, source: str, lead: int) -> None:
        self._bytes = None if source.isascii() else source.encode()
        self._lead = lead

    def _offset(self, node: Any) -> int:
        column: int = getattr(node, "col_offset", 0)
        if self._bytes is not None:
            column = len(self._bytes[:column].decode(errors="replace"))
        return self._lead + column

    def read(self, node: ast.expr, depth: int) -> Tree:
        offset = self._offset(node)
        if depth > MAX_DEPTH:
            raise ExpressionError(
                offset,
                f"the expression is nested deeper than {MAX_DEPTH}",
                hint="move parts of it into a segment of the catalogue",
                code="too-long",
            )
        depth += 1
        match node:
            case ast.Constant():
                return self._constant(node, offset)
            case ast.Name(name):
                return self._name(name, offset)
            case ast.Attribute() | ast.Subscript():
                return self._path(node, depth, offset)
            case ast.Call():
                return self._call(node, depth, offset)
            case ast.List(items):
                return Items(tuple(self.read(item, depth) for item in items), offset)
            case ast.BoolOp(operator, values):
                word = self._bool(operator)
                return Logic(word, tuple(self.read(value, depth) for value in values), offset)
            case ast.UnaryOp(ast.Not(), operand):
                return Not(self.read(operand, depth), offset)
            case ast.UnaryOp(ast.USub(), operand):
                return self._negate(self.read(operand, depth), offset)
            case ast.UnaryOp(operator, _):
                raise self._foreign(operator, offset)
            case ast.BinOp(left, operator, right):
                if type(operator) not in _ARITHMETIC:
                    raise self._foreign(operator, offset)
                return Arithmetic(
                    _ARITHMETIC[type(operator)], self.read(left, depth), self.read(right, depth), offset
                )
            case ast.Compare(first, operators, rights):
                rest = []
                for sign, right in zip(operators, rights, strict=True):
                    if type(sign) not in _COMPARISONS:
                        raise self._foreign(sign, self._offset(right))
                    rest.append((_COMPARISONS[type(sign)], self.read(right, depth)))
                return Compare(self.read(first, depth), tuple(rest), offset)
        raise self._foreign(node, offset)

    @staticmethod
    def _bool(operator: ast.boolop) -> Any:
        return "and" if isinstance(operator, ast.And) else "or"

    @staticmethod
    def _foreign(node: ast.AST, offset: int) -> ExpressionError:
        what, hint = _FOREIGN.get(type(node), (f"`{type(node).__name__.lower()}`", None))
        return ExpressionError(
            offset, f"{what} is not part of the journey language", hint=hint, code="not-allowed"
        )

    @staticmethod
    def _constant(node: ast.Constant, offset: int) -> Constant:
        value = node.value
        if value is True or value is False or value is None:
            right = {True: "true", False: "false", None: "null"}[value]
            raise ExpressionError(
                offset, f"`{value}` is written `{right}` here", f"`{right}`", code="unknown-name"
            )
        if isinstance(value, str):
            if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
                raise ExpressionError(offset, "a character that text cannot hold")
            return Constant(value, offset)
        if isinstance(value, int | float):
            try:
                real = float(value)
            except OverflowError:
                real = math.inf
            if math.isinf(real):
                raise ExpressionError(offset, "the number is too large")
            whole = real.is_integer() and abs(real) <= 2**53
            return Constant(int(real) if whole else real, offset)
        what = "`…`" if value is ... else "this kind of literal"
        raise ExpressionError(offset, f"{what} is not part of the journey language", code="not-allowed")

    @staticmethod
    def _name(name: str, offset: int) -> Tree:
        if name in ROOTS:
            return Path(name, (), offset)
        if name == "now":
            return Now(offset)
        if name in _LITERALS:
            return Constant(_LITERALS[name], offset)
        if name in SIGNATURES:
            raise ExpressionError(
                offset,
                f"`{name}` is a function",
                SIGNATURES[name].usage(name),
                f"write {SIGNATURES[name].usage(name)}",
                "unknown-name",
            )
        raise ExpressionError(
            offset,
            f"unknown name `{name}`",
            "event, trigger, profile, answers, now, or a function",
            did_you_mean(name, _WORDS) or f"text is written in quotes: '{name}'",
            "unknown-name",
        )

    def _path(self, node: ast.expr, depth: int, offset: int) -> Tree:
        names: list[str] = []
        while isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node, ast.Attribute):
                names.append(node.attr)
            else:
                key = node.slice
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                    raise ExpressionError(
                        self._offset(key),
                        "only a name in quotes may stand in brackets",
                        'event["class"]',
                        code="not-allowed",
                    )
                names.append(str(self._constant(key, self._offset(key)).value))
            node = node.value
            if len(names) > MAX_DEPTH:
                raise ExpressionError(offset, f"more than {MAX_DEPTH} names in a row", code="too-long")
        base = self.read(node, depth)
        names.reverse()
        if isinstance(base, Path):
            return Path(base.root, tuple(names), offset)
        if isinstance(base, Occurred):
            return Occurred(base.which, base.event, tuple(names), offset)
        raise ExpressionError(
            offset, f"`{names[0][:50]}`: this value has no properties", "event, trigger, profile or answers"
        )

    @staticmethod
    def _negate(operand: Tree, offset: int) -> Tree:
        if isinstance(operand, Constant) and type(operand.value) in (int, float):
            value = -operand.value  # type: ignore[operator]
            return Constant(value if value else 0, offset)
        return Negate(operand, offset)

    def _call(self, node: ast.Call, depth: int, offset: int) -> Tree:
        if not isinstance(node.func, ast.Name):
            raise ExpressionError(offset, "only a function of the language can be called", code="not-allowed")
        name = node.func.id
        signature = SIGNATURES.get(name)
        if signature is None:
            raise ExpressionError(
                offset,
                f"unknown function `{name[:50]}`",
                ", ".join(sorted(SIGNATURES)),
                did_you_mean(name, SIGNATURES),
                "unknown-function",
            )
        usage = signature.usage(name)
        if node.keywords:
            place = self._offset(node.keywords[0])
            raise ExpressionError(
                place, f"`{name}` takes no named arguments", usage, f"write {usage}", "arguments"
            )
        most = len(signature.arguments)
        if not most - signature.optional <= len(node.args) <= most:
            raise ExpressionError(
                offset, f"`{name}` got {len(node.args)} arguments", usage, f"write {usage}", "arguments"
            )
        arguments = tuple(self.read(argument, depth) for argument in node.args)
        for argument, kind in zip(arguments, signature.arguments, strict=False):
            _check_literal(name, argument, kind)
        if name in ("last", "first"):
            event = arguments[0]
            assert isinstance(event, Constant)
            return Occurred("last" if name == "last" else "first", str(event.value), (), offset)
        return Call(name, arguments, offset)


def _check_literal(name: str, argument: Tree, kind: Argument) -> None:
    if kind not in LITERAL:
        return
    shown = SHOWN.get(kind, kind)
    wanted = '"90d"' if kind in LENGTHS else f"the {shown}'s name in quotes"
    if not isinstance(argument, Constant) or not isinstance(argument.value, str):
        raise ExpressionError(
            argument.offset, f"`{name}` needs a literal here, for its {shown}", wanted, code="arguments"
        )
    if kind in LENGTHS:
        length = parse_length(argument.value)
        if length is None or not length:
            raise ExpressionError(
                argument.offset,
                f"`{argument.value[:50]}` is no length",
                "a length such as 45s, 90m, 1h, 2d, 1d12h, 2w",
                code="length",
            )
