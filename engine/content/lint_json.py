"""JSON parts at check time: fields of WeChat's templates, and what a template message may be used for.

The name of a field begins with its kind, `thing1`, and each kind has its rule; code 47003 refuses a message
that breaks it. Source: what developers report of that code (docs/channels/wechat_miniprogram.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError

from engine.content.errors import TemplateProblem
from engine.content.extent import Extents
from engine.content.made import ENVIRONMENTS
from engine.content.pieces import Piece, pieces_of
from engine.content.scope import TemplateScope

_BEGIN, _END = "\ue000", "\ue001"
_MARK = re.compile(f"{_BEGIN}([0-9]+){_END}")
_FIELD = re.compile(r"([a-z_]+?)\d+")
_HAN = r"\u4e00-\u9fff"


@dataclass(frozen=True, slots=True)
class _Rule:
    most: int
    fixed: re.Pattern[str] | None = None
    """What its own characters may be."""
    said: str = ""


FIELDS: dict[str, _Rule] = {
    "thing": _Rule(20),
    "number": _Rule(32, re.compile(r"[\d.+-]*"), "digits"),
    "letter": _Rule(32, re.compile(r"[A-Za-z]*"), "letters from A to Z"),
    "symbol": _Rule(5, re.compile(r"[^\w\s]*"), "signs"),
    "character_string": _Rule(32, re.compile(r"[\x21-\x7e]*"), "letters, digits and signs, not Chinese"),
    "amount": _Rule(13, re.compile(r"[^\d\s]?[\d.]*元?"), "a currency sign and digits"),
    "phone_number": _Rule(17, re.compile(r"[\d+() -]*"), "digits"),
    "car_number": _Rule(8),
    "name": _Rule(20, re.compile(rf"[{_HAN}·]*|[A-Za-z .]*"), "Chinese alone or letters alone"),
    "phrase": _Rule(5, re.compile(rf"[{_HAN}]*"), "Chinese characters"),
}
_NUMBERS = frozenset({"number", "amount", "phone_number"})


def lint_json(
    path: str, channel: str, source: str, tree: nodes.Template, scope: TemplateScope
) -> Iterator[TemplateProblem]:
    """What the provider will say to its fields. Templates with tags have no one form and are not judged."""
    pieces = list(pieces_of(ENVIRONMENTS["json"], source))
    if any(piece.kind == "tag" for piece in pieces):
        return
    values = [piece for piece in pieces if piece.kind == "value"]
    try:
        document = json.loads(_skeleton(pieces))
    except (ValueError, RecursionError):
        return  # said already
    if not isinstance(document, dict):
        return
    template = document.get("template_id") is not None and "msgtype" not in document
    notice = channel == "wechat" and template and document.get("kind") != "subscribe"
    if notice and scope.rules.category == "marketing" and scope.rules.real:
        said = "a template message may not advertise: WeChat closes the interface of accounts that do"
        hint = (
            "use `kind: subscribe` or a customer-service message, or `category: transactional` if it is none"
        )
        yield TemplateProblem(path, 1, 1, "advertising", said, hint=hint, severity="warning")
    data = document.get("data")
    if channel.startswith("alipay") or not template or not isinstance(data, dict):
        return
    extents = Extents(tree, scope)
    for name, field in data.items():
        value = field.get("value") if isinstance(field, dict) else field
        kind = _FIELD.fullmatch(name)
        if kind is not None and kind[1] in FIELDS and isinstance(value, str):
            line = _line_of(source, name)
            yield from _field(path, line, name, kind[1], value, values, extents)


def _skeleton(pieces: Sequence[Piece]) -> str:
    """The JSON with marks for values: in quotes of their own where none stand around them."""
    written, inside, number = [], False, 0
    for piece in pieces:
        if piece.kind == "data":
            written.append(piece.text)
            for sign in re.findall(r'\\.|"', piece.text, re.DOTALL):
                inside = inside != (sign == '"')
        elif piece.kind == "value":
            mark = f"{_BEGIN}{number}{_END}"
            written.append(mark if inside else f'"{mark}"')
            number += 1
    return "".join(written)


def _field(
    path: str, line: int, name: str, kind: str, value: str, values: Sequence[Piece], extents: Extents
) -> Iterator[TemplateProblem]:
    rule = FIELDS[kind]
    fixed = _MARK.sub("", value)
    if "\n" in fixed:
        said = f"`{name}` has a line break"
        yield TemplateProblem(path, line, 1, "field", said, "one line")
        return
    if rule.fixed is not None and not rule.fixed.fullmatch(fixed):
        said = f"`{name}` has characters that a {kind} may not have"
        yield TemplateProblem(path, line, 1, "field", said, rule.said)
        return
    length, guessed = len(fixed), False
    for mark in _MARK.finditer(value):
        node = _expression(values[int(mark[1])].text)
        extent = None if node is None else extents.of(node)
        if extent is None:
            return
        length, guessed = length + extent.characters, guessed or extent.guessed
        if kind in _NUMBERS and extent.text and not extent.guessed:
            said = f"`{name}` shows a text where a {kind} stands"
            yield TemplateProblem(path, line, 1, "field", said, rule.said, severity="warning")
    most = 10 if kind == "name" and any("\u4e00" <= sign <= "\u9fff" for sign in fixed) else rule.most
    if length > most:
        said = f"`{name}` has up to {length} characters"
        if guessed:
            said += ", values at the length that is assumed"
        hint = f"shorten it: `| truncate({most}, true, '…', 0)`, or say `longest` in the catalogue"
        severity: Any = "warning" if guessed else "error"
        yield TemplateProblem(path, line, 1, "field", said, f"at most {most}", hint, severity)


def _expression(text: str) -> nodes.Expr | None:
    try:
        output = ENVIRONMENTS["json"].parse(text).body[0]
    except (TemplateError, IndexError):
        return None
    assert isinstance(output, nodes.Output)
    return output.nodes[0]


def _line_of(source: str, name: str) -> int:
    at = source.find(f'"{name}"')
    return source.count("\n", 0, at) + 1 if at >= 0 else 1
