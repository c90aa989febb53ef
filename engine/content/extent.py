"""How long a template's text may become, values at their longest.

Declared lengths (`longest` in the catalogue) and those of numbers and dates are certain; where nothing is
declared a length is assumed and marked so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import nodes

from engine.content.scope import TemplateScope

ASSUMED = 20
"""Characters of a text of which nothing is declared."""
ASSUMED_ITEMS = 10
"""Items of a list of which nothing is declared."""
LINK = 40
"""Characters of a link of ours."""
_BY_TYPE = {"number": 10, "boolean": 5, "date": 10, "datetime": 25}
_SAME = frozenset(
    (
        "upper",
        "lower",
        "title",
        "capitalize",
        "trim",
        "e",
        "escape",
        "forceescape",
        "string",
        "safe",
        "striptags",
    )
)
_NUMBERS = frozenset(("round", "int", "float", "abs", "sum", "length", "count", "wordcount"))
_WIDE, _NARROW = "字", "9"
_ANY_DAY = datetime(2026, 12, 30, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Extent:
    """At most so many characters. `text`: letters of any script; `guessed`: nothing is declared."""

    characters: int
    text: bool = True
    guessed: bool = False

    def with_(self, other: Extent) -> Extent:
        """Both, one behind the other."""
        return Extent(
            self.characters + other.characters, self.text or other.text, self.guessed or other.guessed
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """The longest text that may come of it, with letters and digits standing in."""

    text: str = ""
    guessed: bool = False


class Extents:
    """The lengths of what stands in one template."""

    def __init__(self, tree: nodes.Template, scope: TemplateScope) -> None:
        self.scope = scope
        self.values: dict[str, nodes.Node] = {}
        self.loops: dict[str, nodes.Node] = {}
        for assign in tree.find_all(nodes.Assign):
            if isinstance(assign.target, nodes.Name):
                self.values[assign.target.name] = assign.node
        for loop in tree.find_all(nodes.For):
            if isinstance(loop.target, nodes.Name):
                self.loops[loop.target.name] = loop.iter

    def sample(self, body: Iterable[nodes.Node]) -> Sample:
        """Of this part of a template, on its longest way."""
        texts, guessed = [], False
        for node in body:
            found = self._of(node)
            texts.append(found.text)
            guessed = guessed or found.guessed
        return Sample("".join(texts), guessed)

    def _of(self, node: nodes.Node) -> Sample:
        match node:
            case nodes.Output():
                texts, guessed = [], False
                for each in node.nodes:
                    if isinstance(each, nodes.TemplateData):
                        texts.append(each.data)
                        continue
                    extent = self.of(each)
                    texts.append((_WIDE if extent.text else _NARROW) * extent.characters)
                    guessed = guessed or extent.guessed
                return Sample("".join(texts), guessed)
            case nodes.If():
                arms = [node.body, *(arm.body for arm in node.elif_), node.else_]
                return max((self.sample(arm) for arm in arms), key=lambda sample: len(sample.text))
            case nodes.For():
                body, (times, guessed) = self.sample(node.body), self.items(node.iter)
                rounds = Sample(body.text * min(times, 1_000), body.guessed or guessed)
                other = self.sample(node.else_)
                return max(rounds, other, key=lambda sample: len(sample.text))
            case nodes.With() | nodes.FilterBlock() | nodes.Scope() | nodes.ScopedEvalContextModifier():
                return self.sample(node.body)
        return Sample()

    def items(self, node: nodes.Node) -> tuple[int, bool]:
        """How many items a list has at most, and whether that is assumed."""
        if isinstance(node, nodes.List | nodes.Tuple):
            return len(node.items), False
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            stop = node.arg.stop
            if isinstance(stop, nodes.Const) and isinstance(stop.value, int) and stop.value >= 0:
                return stop.value, False
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "range":
            bounds = [each.value for each in node.args if isinstance(each, nodes.Const)]
            if len(bounds) == len(node.args) and all(isinstance(each, int) for each in bounds):
                return len(range(*bounds)), False
        root, names = path_of(node)
        known = self.scope.extents.get(f"{root}.{names[0]}") if root and len(names) == 1 else None
        return (ASSUMED_ITEMS, True) if known is None else (known, False)

    def of(self, node: nodes.Node, depth: int = 0) -> Extent:
        """Of one value."""
        if depth > 20:
            return Extent(ASSUMED, guessed=True)
        inner = depth + 1
        match node:
            case nodes.Const():
                return Extent(len(str(node.value)), not str(node.value).isascii())
            case nodes.CondExpr():
                arms = [node.expr1] if node.expr2 is None else [node.expr1, node.expr2]
                return _longest([self.of(arm, inner) for arm in arms])
            case nodes.Or() | nodes.And():
                return _longest([self.of(node.left, inner), self.of(node.right, inner)])
            case nodes.Concat():
                found = Extent(0, text=False)
                for each in node.nodes:
                    found = found.with_(self.of(each, inner))
                return found
            case nodes.Add():
                return self.of(node.left, inner).with_(self.of(node.right, inner))
            case nodes.BinExpr() | nodes.UnaryExpr():
                return Extent(_BY_TYPE["number"], text=False)
            case nodes.Compare() | nodes.Test() | nodes.Not():
                return Extent(_BY_TYPE["boolean"], text=False)
            case nodes.Filter():
                return self._filtered(node, inner)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return self._named(node, inner)
        return Extent(ASSUMED, guessed=True)

    def _filtered(self, node: nodes.Filter, depth: int) -> Extent:
        value = Extent(ASSUMED, guessed=True) if node.node is None else self.of(node.node, depth)
        constants = [each.value if isinstance(each, nodes.Const) else None for each in node.args]
        given = {each.key: getattr(each.value, "value", None) for each in node.kwargs}
        if node.name in _SAME:
            return value
        if node.name in _NUMBERS:
            return Extent(_BY_TYPE["number"], text=False)
        if node.name in ("default", "d"):
            return _longest([value, self.of(node.args[0], depth)]) if node.args else value
        if node.name == "date":
            pattern = constants[0] if constants and isinstance(constants[0], str) else "%Y-%m-%d"
            shown = _ANY_DAY.strftime(pattern[:100])
            return Extent(len(shown), not shown.isascii())
        if node.name == "tojson":
            return Extent(value.characters, value.text, value.guessed)
        if node.name == "truncate":
            words = dict(zip(("length", "killwords", "end", "leeway"), constants, strict=False)) | given
            length, leeway = words.get("length", 255), words.get("leeway")
            if isinstance(length, int):
                most = length + (leeway if isinstance(leeway, int) else 5)
                return Extent(min(value.characters, most), value.text) if most <= 255 else value
        if node.name == "join" and node.node is not None:
            times, _ = self.items(node.node)
            return Extent(times * (ASSUMED + 2), guessed=True)
        return Extent(max(value.characters, ASSUMED), guessed=True)

    def _named(self, node: nodes.Node, depth: int) -> Extent:
        root, names = path_of(node)
        if root == "loop" or (root == "now" and not names):
            return Extent(2 if root == "loop" else _BY_TYPE["datetime"], text=False)
        if root == "links":
            return Extent(LINK, text=False)
        if root is not None and len(names) == 1:
            known = self.scope.extents.get(f"{root}.{names[0]}")
            kind = self.scope.type_of(root, names[0])
            if kind in _BY_TYPE:
                return Extent(known or _BY_TYPE[kind], text=False)
            if known is not None and kind != "list":
                return Extent(known)
        if root in self.values and not names:
            return self.of(self.values[root], depth)
        return Extent(ASSUMED, guessed=True)


def _longest(found: list[Extent]) -> Extent:
    most = max(found, key=lambda extent: extent.characters)
    return Extent(most.characters, any(each.text for each in found), any(each.guessed for each in found))


def path_of(node: nodes.Node) -> tuple[str | None, list[str]]:
    """`trigger.a["b"]` as ("trigger", ["a", "b"]); the names end where one is not literal."""
    names: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            names.append(node.arg.value)
        else:
            names.clear()
        node = node.node
    return (node.name if isinstance(node, nodes.Name) else None), names[::-1]
