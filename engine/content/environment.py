"""Jinja2 as templates get it: sandboxed, strict, bounded.

Jinja2's own sandbox keeps templates away from Python's insides but not from using up time and memory. So
only listed filters and methods exist, loops and calls are charged to a `Budget`, and whatever makes texts
longer (`*`, `+`, `~`, `replace`, `join`, …) is measured first. Loops and `~` are reached by rewriting the
syntax tree: a loop's iterable and the parts of `~` go through filters of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any

from jinja2 import Undefined, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace, htmlsafe_json_dumps, pass_context, pass_eval_context
from markupsafe import Markup

from engine.content import budget
from engine.content.errors import RenderError
from engine.content.linking import Naming


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN_FILTERS = _words(
    "abs capitalize count d default dictsort e escape filesizeformat first float forceescape int items last "
    "length list lower map max min reject rejectattr reverse round safe select selectattr sort string "
    "striptags title trim truncate unique upper urlencode wordcount"
)
_TESTS = _words(
    "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le "
    "lessthan lower lt mapping ne none number odd sequence string true undefined upper == != < <= > >="
)
_METHODS = {
    str: _words("upper lower strip lstrip rstrip title capitalize startswith endswith"),
    dict: _words("items keys values get"),
    datetime: _words("strftime isoformat date"),
    date: _words("strftime isoformat"),
    Naming: _words("to"),
}
_LEAST = 10
"""Characters that a value costs at least: many empty ones take time too."""
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"})
_REFUSED = (nodes.Import, nodes.FromImport)
_ASSEMBLED = (nodes.Include, nodes.Extends, nodes.Block)
"""What is put in before a template is compiled; files are checked one by one with it."""


class SafeJson(str):
    """Text that is JSON already; a JSON part does not escape it again."""

    __slots__ = ()


class _Missing(Undefined):
    """What null and unknown names are: it may be asked about (`if`, `or`, comparisons), never written."""

    __slots__ = ()
    __str__ = __iter__ = __len__ = Undefined._fail_with_undefined_error

    def _in_no_order(self, other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _in_no_order  # type: ignore[assignment]
    __contains__ = _in_no_order


class Environment(ImmutableSandboxedEnvironment):
    """One for each kind of part: `json` escapes for JSON, `html` for HTML, others write text as it is.

    `single` reads files as they are written, with their layouts and blocks still apart; nothing is rendered
    by it.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, kind: str, *, single: bool = False) -> None:
        self.refused = _REFUSED if single else (*_REFUSED, *_ASSEMBLED)
        super().__init__(
            autoescape=kind == "html",
            undefined=_Missing,
            finalize=_finalize_json if kind == "json" else _finalize,
            cache_size=0,
        )
        self.globals = {"range": _range, "namespace": Namespace}
        self.filters = {name: _measured(FILTERS[name]) for name in _PLAIN_FILTERS}
        self.filters |= {
            "replace": _replace,
            "join": _join,
            "sum": _sum,
            "date": _date,
            "tojson": _html_json if kind == "html" else _tojson,
            "_rounds": _rounds,
            "_joined": _joined,
        }
        self.tests = {name: TESTS[name] for name in _TESTS}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(nodes.Stmt):
            recursive = isinstance(node, nodes.For) and node.recursive
            if recursive or isinstance(node, self.refused):
                word = "a recursive loop" if recursive else type(node).__name__.lower()
                raise TemplateSyntaxError(f"{word} cannot be used in these templates", node.lineno)
        return tree

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        _bound(source)
        source.set_environment(self)
        return super()._generate(source, *args, **kwargs)

    # --- null is undefined --------------------------------------------------------------------------------

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:  # nearly always, and much quicker
            value = obj.get(attribute)
            if value is not None:
                return value
        elif type(obj) is LoopContext and attribute in _LOOP:
            return getattr(obj, attribute)
        if isinstance(obj, _Missing):
            return obj  # what is inside of nothing is nothing, as in expressions
        if isinstance(obj, Mapping) and attribute in obj:
            return self._present(obj, attribute, obj[attribute])
        return self._present(obj, attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, _Missing):
            return obj
        return self._present(obj, argument, super().getitem(obj, argument))

    def _present(self, obj: Any, name: Any, value: Any) -> Any:
        return self.undefined(obj=obj, name=name) if value is None else value

    # --- calls and operators ------------------------------------------------------------------------------

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, Macro) or obj is _range or obj is Namespace:
            return True
        owner = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "")
        if type(owner).__name__ == "LoopContext":
            return name in ("cycle", "changed")
        return any(isinstance(owner, kind) and name in names for kind, names in _METHODS.items())

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget.spend_rounds(1)
        if isinstance(__obj, Undefined):
            str(__obj)  # raises, naming what is undefined
        if not __self.is_safe_callable(__obj):
            # Jinja2's own error would quote the value.
            raise RenderError("only listed functions and methods can be called in templates")
        value = super().call(__context, __obj, *args, **kwargs)
        if isinstance(value, str):
            budget.measured(len(value))
        return __self.undefined(name=getattr(__obj, "__name__", None)) if value is None else value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise RenderError("`%` cannot format text; use `~` to join texts")
        if operator == "**":
            raise RenderError("`**` is not offered in templates")
        sized = (str, list, tuple)
        if operator == "*":
            for some, times in ((left, right), (right, left)):
                if isinstance(some, sized) and isinstance(times, int):
                    budget.measured(len(some) * max(0, times))
            if isinstance(left, int) and isinstance(right, int) and max(abs(left), abs(right)) > 10**18:
                raise RenderError("a number beyond every use")
        elif operator == "+" and isinstance(left, sized) and isinstance(right, sized):
            budget.measured(len(left) + len(right))
        return super().call_binop(context, operator, left, right)


def _bound(tree: nodes.Template) -> None:
    """Puts every loop, macro and `~` of a template under the budget."""
    for loop in list(tree.find_all(nodes.For)):
        weight = nodes.Const(_static(loop))
        loop.iter = nodes.Filter(loop.iter, "_rounds", [weight], [], None, None, lineno=loop.lineno)
    macros: list[nodes.Macro | nodes.CallBlock] = [*tree.find_all(nodes.Macro)]
    macros.extend(tree.find_all(nodes.CallBlock))
    for macro in macros:
        # A macro's own text is paid for when it is called: as a loop of one round around its body.
        weight = nodes.Const(_static(macro))
        once = nodes.Filter(nodes.List([nodes.Const(0)]), "_rounds", [weight], [], None, None)
        macro.body.insert(0, nodes.If(once, [], [], [], lineno=macro.lineno))
    _join_tildes(tree)


def _join_tildes(node: nodes.Node) -> None:
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Concat):
            setattr(node, name, _tilde(value))
        elif isinstance(value, list):
            setattr(node, name, [_tilde(v) if isinstance(v, nodes.Concat) else v for v in value])
    for child in node.iter_child_nodes():
        _join_tildes(child)


def _tilde(node: nodes.Concat) -> nodes.Filter:
    parts = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(parts, "_joined", [], [], None, None, lineno=node.lineno)


def _static(node: nodes.Node) -> int:
    return sum(len(data.data) for data in node.find_all(nodes.TemplateData))


# --- what is written ------------------------------------------------------------------------------------


def _finalize(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        budget.measured(len(value) + _LEAST)
        return value
    budget.spend_characters(_LEAST)
    if kind is int:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if value is None:
        raise RenderError("a null value without a default")
    if isinstance(value, Undefined):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        budget.measured(len(value))
        return value
    return _shown(value)


def _shown(value: Any) -> str:
    """Lists with commas, as people write them; nulls in them are no text either."""
    if isinstance(value, list | tuple):
        text = ", ".join(str(_finalize(each)) for each in value)
    else:
        text = str(_tojson(value)) if isinstance(value, dict) else str(value)
    budget.measured(len(text))
    return text


def _finalize_json(value: Any) -> Any:
    if isinstance(value, dict | list | tuple):
        return _tojson(value)
    value = _finalize(value)
    if isinstance(value, SafeJson | Undefined):
        return value
    if isinstance(value, str | date):
        # Without its quotes: the template's own stand around it.
        return json.dumps(str(value), ensure_ascii=False)[1:-1]
    return _tojson(value)


# --- filters and functions --------------------------------------------------------------------------------


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > budget.MOST_ROUNDS:
        raise RenderError(f"range() of more than {budget.MOST_ROUNDS:,} numbers")
    return numbers


@pass_context  # also keeps Jinja2 from working it out once, when it compiles
def _rounds(context: Any, iterable: Any, weight: int) -> list[Any]:
    """The items of a loop, paid for: a round each, and the `weight` characters of the loop's own text."""
    if type(iterable) is list:
        budget.spend_rounds(len(iterable))
        budget.spend_characters(weight * len(iterable))
        return iterable
    items = []
    for item in iterable:
        items.append(item)
        budget.spend_rounds(1)
    budget.spend_characters(weight * len(items))
    return items


@pass_eval_context
def _joined(context: Any, parts: list[Any]) -> str:
    for part in parts:
        if part is None:
            raise RenderError("a null value without a default")
    texts = [part if isinstance(part, str) else str(_finalize(part)) for part in parts]
    budget.measured(sum(map(len, texts)))
    return markup_join(texts) if context.autoescape else str_join(texts)


def _measured(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """`filter_`, its result charged. Keeps the marks by which Jinja2 hands in its context."""

    def measured(*args: Any, **kwargs: Any) -> Any:
        value = filter_(*args, **kwargs)
        if isinstance(value, str | list | tuple):
            budget.measured(len(value))
        return value

    for mark in ("jinja_pass_arg", "jinja_async_variant"):
        if hasattr(filter_, mark):
            setattr(measured, mark, getattr(filter_, mark))
    return measured


@pass_eval_context
def _replace(context: Any, text: Any, old: str, new: str, count: int | None = None) -> str:
    source, old, new = str(text), str(old), str(new)
    budget.measured(len(source) + source.count(old) * len(new))
    filter_: Callable[..., str] = FILTERS["replace"]
    return filter_(context, text, old, new, count)


@pass_eval_context
def _join(context: Any, items: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    parts = list(items)
    budget.measured(len(parts))
    shown = parts if attribute is None else [context.environment.getitem(part, attribute) for part in parts]
    texts = [part if isinstance(part, str) else str(_finalize(part)) for part in shown]
    budget.measured(sum(map(len, texts)) + len(str(d)) * len(texts))
    filter_: Callable[..., str] = FILTERS["join"]
    return filter_(context, texts, d)


def _sum(items: Iterable[Any], attribute: str | None = None) -> float:
    total: float = 0
    for item in items:
        amount = item.get(attribute) if attribute and isinstance(item, Mapping) else item
        if not isinstance(amount, int | float):
            raise RenderError("sum adds up numbers only")
        total += amount
    return total


def _date(value: Any, pattern: str = "%Y-%m-%d") -> str:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, date) or len(pattern) > 100:
        raise RenderError("`date` needs a date and a pattern such as %Y-%m-%d")
    return value.strftime(pattern)


def _plain(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _tojson(value: Any) -> SafeJson:
    if value is None or isinstance(value, Undefined):
        raise RenderError("a null value without a default")
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    budget.measured(len(text))
    return SafeJson(text)


def _html_json(value: Any) -> Markup:
    return htmlsafe_json_dumps(value, dumps=lambda v, **_: _tojson(v))
