"""What the definition of the language is built of, and how nodes are held against it.

A shape says which nodes are well formed. `schema` puts the language together from them; `conform` reports
every departure; the JSON Schema and the reference tables are read from the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from engine.language import scalars
from engine.language.diagnostics import Mark, Reporter, listed, nearest
from engine.language.loader import Mapping, Node, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class TextKind:
    """A kind of text: how it is told, what is said when it is malformed, its pattern for editors."""

    code: str
    what: str
    expected: str
    accepts: Callable[[str], bool]
    pattern: str | None = None


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


_ID = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_EVENT = r"[^\s\x00-\x1f]{1,200}"
_LENGTH = r"([0-9]+[smhdw])+"


def _is_moment(text: str) -> bool:
    if re.match(r"[0-9]{1,2}:", text):
        return scalars.read_time(text) is not None
    if re.match(r"[0-9]{4}-[0-9]{2}", text):
        return scalars.read_date(text) is not None or scalars.read_instant(text) is not None
    return True


KINDS: dict[str, TextKind] = {
    "text": TextKind("J203", "text", "text", lambda text: True),
    "expression": TextKind("J501", "expression", "an expression", lambda text: True),
    "id": TextKind(
        "J208",
        "name",
        "lower-case letters, digits and single hyphens between them",
        _matches(_ID),
        f"^{_ID}$",
    ),
    "word": TextKind(
        "J208", "name", "letters, digits and `_`, not beginning with a digit", _matches(_WORD), f"^{_WORD}$"
    ),
    "label": TextKind(
        "J208", "name", "a short name", lambda text: 0 < len(text) <= 100 and text == text.strip()
    ),
    "event": TextKind("J208", "event name", "a name without spaces, such as `order.paid`", _matches(_EVENT)),
    "length": TextKind(
        "J204",
        "length of time",
        "digits and a unit s, m, h, d or w, such as `90m` or `3d`",
        lambda text: scalars.read_length(text) is not None,
        f"^{_LENGTH}$",
    ),
    "positive_length": TextKind(
        "J204",
        "length of time",
        "a length above zero, such as `90m` or `3d`",
        lambda text: bool(scalars.read_length(text)),
        f"^{_LENGTH}$",
    ),
    "offset": TextKind(
        "J204",
        "length of time",
        "a length, with `-` for earlier, such as `-1d`",
        lambda text: scalars.read_length(text, signed=True) is not None,
        f"^-?{_LENGTH}$",
    ),
    "percentage": TextKind(
        "J205",
        "percentage",
        "a percentage from 0 to 100 with at most two decimals, such as `5%`",
        lambda text: scalars.read_percentage(text) is not None,
        r"^[0-9]{1,3}(\.[0-9]{1,2})? ?%$",
    ),
    "time": TextKind(
        "J207",
        "time of day",
        "hours and minutes, such as `09:00`",
        lambda text: scalars.read_time(text) is not None,
        r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$",
    ),
    "window_time": TextKind(
        "J207",
        "time of day",
        "hours and minutes, such as `09:00`; `24:00` is the end of the day",
        lambda text: text == "24:00" or scalars.read_time(text) is not None,
        r"^(24:00|([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)$",
    ),
    "moment": TextKind(
        "J206", "moment", "a time such as `10:00`, a date, an instant, or an expression", _is_moment
    ),
    "instant": TextKind(
        "J206",
        "instant",
        "a date and time such as `2026-11-11T10:00+08:00`",
        lambda text: scalars.read_instant(text) is not None,
    ),
    "start": TextKind(
        "J206",
        "instant",
        "a date and time such as `2026-11-11T10:00+08:00`, or a date",
        lambda text: scalars.read_instant(text) is not None or scalars.read_date(text) is not None,
    ),
    "property": TextKind("J208", "property name", "a name", lambda text: 0 < len(text) <= 200),
    "zone": TextKind("J213", "time zone", "a name such as `Asia/Shanghai`", scalars.is_zone),
    "step_zone": TextKind(
        "J213",
        "time zone",
        "`profile`, `installation`, or a name such as `Asia/Shanghai`",
        lambda text: text in ("profile", "installation") or scalars.is_zone(text),
    ),
    "rate": TextKind(
        "J216",
        "rate",
        "a number a second, minute, hour or day, such as `20/s`",
        lambda text: scalars.read_rate(text) is not None,
        r"^[0-9]+/[smhd]$",
    ),
    "url": TextKind(
        "J203",
        "address",
        "an address that begins with `https://` or `http://`, or `${NAME}`",
        lambda text: (
            re.match(r"https?://[^\s/]|\$\{[A-Z_][A-Z0-9_]*\}", text) is not None and " " not in text
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a kind (see `KINDS`), or one of `choices`; `later` are choices of coming versions."""

    kind: str = "text"
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    least: float | None = None
    most: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Boolean:
    only: bool | None = None


@dataclass(frozen=True, slots=True)
class Null:
    """An empty value, where it means something."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any data."""


@dataclass(frozen=True, slots=True)
class Listing:
    item: Shape
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are the author's own."""

    value: Shape
    key: str = "label"
    least: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    shape: Shape
    doc: str
    needed: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """A mapping with known keys; with `one_of`, at least one of those is needed."""

    doc: str
    fields: Map[str, Field]
    later: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A mapping that has exactly one of the keys of `forms`, and then that form's fields."""

    doc: str
    what: str
    forms: Map[str, Object]
    later: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """One of several shapes, told apart by whether the node is text, number, list or mapping."""

    shapes: tuple[Shape, ...]
    expected: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A shape by name, for those that hold themselves."""

    name: str


Shape = Text | Number | Boolean | Null | Anything | Listing | Table | Object | Choice | Either | Ref

DEFINITIONS: dict[str, Shape] = {}
"""Shapes that `Ref` names."""


def describe(node: Node) -> str:
    """What the node is, in the reader's words."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    match node.value:
        case None:
            return "empty"
        case bool():
            return f"`{node.text}`"
        case int() | float():
            return f"the number {node.text[:40]}"
        case text:
            return f"the text `{text[:40]}`"


def _called(name: str) -> str:
    return name if name.startswith("step ") or name == "step" else f"`{name}`"


def _suits(node: Node, shape: Shape) -> bool:
    """Whether the node is of the right sort for the shape, whatever is wrong inside."""
    match shape:
        case Ref():
            return _suits(node, DEFINITIONS[shape.name])
        case Either():
            return any(_suits(node, each) for each in shape.shapes)
        case Anything():
            return True
        case Listing():
            return isinstance(node, Sequence)
        case Table() | Object() | Choice():
            return isinstance(node, Mapping)
    if not isinstance(node, Scalar):
        return False
    value = node.value
    match shape:
        case Text():
            return isinstance(value, str)
        case Boolean():
            return isinstance(value, bool)
        case Null():
            return value is None
        case Number():
            return isinstance(value, int | float) and not isinstance(value, bool)


def _expected(shape: Shape) -> str:
    match shape:
        case Ref():
            return _expected(DEFINITIONS[shape.name])
        case Either():
            return shape.expected
        case Text(choices=choices) if choices:
            return listed(choices)
        case Text():
            return KINDS[shape.kind].expected
        case Number():
            return "a number"
        case Boolean():
            return "`true`" if shape.only else "`true` or `false`"
        case Listing():
            return "a list"
        case Null():
            return "nothing"
        case Anything():
            return "a value"
        case Object():
            return f"a mapping with {listed(shape.fields)}"
        case Choice():
            return f"a mapping with one of {listed(shape.forms, 20)}"
        case Table():
            return "a mapping"


@dataclass(slots=True)
class _Walk:
    reporter: Reporter
    good: bool = field(default=True)

    def mistake(
        self, code: str, at: Mark, message: str, *, expected: str | None = None, hint: str | None = None
    ) -> None:
        self.good = False
        self.reporter.error(code, at, message, expected=expected, hint=hint)

    def visit(self, node: Node, shape: Shape, name: str) -> None:
        if self.reporter.full or (isinstance(node, Scalar) and node.spoiled):
            self.good = False
            return
        if isinstance(shape, Ref):
            self.visit(node, DEFINITIONS[shape.name], name)
            return
        if isinstance(shape, Either):
            for each in shape.shapes:
                if _suits(node, each):
                    self.visit(node, each, name)
                    return
        if not _suits(node, shape):
            self._wrong_sort(node, shape, name)
            return
        match shape:
            case Text():
                assert isinstance(node, Scalar)
                self._text(node, shape, name)
            case Number():
                assert isinstance(node, Scalar)
                self._number(node, shape, name)
            case Boolean(only=only):
                assert isinstance(node, Scalar)
                if only is not None and node.value is not only:
                    self.mistake(
                        "J209", node.mark, f"`{name}` cannot be {describe(node)}", expected=_expected(shape)
                    )
            case Listing():
                assert isinstance(node, Sequence)
                if len(node.items) < shape.least or (shape.most is not None and len(node.items) > shape.most):
                    count = (
                        f"exactly {shape.least}" if shape.least == shape.most else f"at least {shape.least}"
                    )
                    self.mistake(
                        "J214", node.mark, f"`{name}` has {len(node.items)} entries", expected=f"{count}"
                    )
                for item in node.items:
                    self.visit(item, shape.item, name)
            case Table():
                assert isinstance(node, Mapping)
                if len(node.keys) < shape.least:
                    self.mistake(
                        "J214", node.mark, f"`{name}` is empty", expected=f"at least {shape.least} entry"
                    )
                for key, mark in node.keys.items():
                    kind = KINDS[shape.key]
                    if not kind.accepts(key):
                        self.mistake(
                            "J208", mark.mark, f"`{key[:60]}` is not a {kind.what}", expected=kind.expected
                        )
                    self.visit(node.values[key], shape.value, key)
            case Object():
                assert isinstance(node, Mapping)
                self._object(node, shape, name)
            case Choice():
                assert isinstance(node, Mapping)
                self._choice(node, shape, name)

    def _wrong_sort(self, node: Node, shape: Shape, name: str) -> None:
        empty = isinstance(node, Scalar) and node.value is None
        hint = None
        code = "J214" if empty else "J203"
        if isinstance(shape, Text) and isinstance(node, Scalar) and not empty:
            kind = KINDS[shape.kind]
            if kind.code in ("J204", "J205"):
                code = kind.code
                hint = f"did you mean `{node.text[:20]}{'%' if code == 'J205' else 'm'}`?"
            else:
                hint = f'put it in quotes to make it text: `"{node.text[:40]}"`'
        self.mistake(
            code,
            node.mark,
            f"`{name}` is {describe(node)}",
            expected=_expected(shape),
            hint=hint,
        )

    def _text(self, node: Scalar, shape: Text, name: str) -> None:
        text = str(node.value)
        if shape.choices:
            if text in shape.later:
                self.mistake(
                    "J211",
                    node.mark,
                    f"`{name}: {text}` is part of the language but not in this version",
                    expected=listed(shape.choices),
                )
            elif text not in shape.choices:
                self.mistake(
                    "J209",
                    node.mark,
                    f"`{text[:60]}` is not possible for `{name}`",
                    expected=listed(shape.choices),
                    hint=nearest(text, shape.choices),
                )
            return
        kind = KINDS[shape.kind]
        if not text.strip():
            self.mistake("J214", node.mark, f"`{name}` is empty", expected=kind.expected)
        elif not kind.accepts(text):
            hint = nearest(text, scalars.zones()) if kind.code == "J213" else None
            code = "J207" if shape.kind == "moment" and ":" in text[:3] else kind.code
            self.mistake(
                code,
                node.mark,
                f"`{text[:60]}` is not a {kind.what}"
                if kind.what[0] not in "aeiou"
                else f"`{text[:60]}` is not an {kind.what}",
                expected=kind.expected,
                hint=hint,
            )

    def _number(self, node: Scalar, shape: Number, name: str) -> None:
        value = node.value
        assert isinstance(value, int | float)
        if shape.whole and not isinstance(value, int):
            self.mistake("J218", node.mark, f"`{name}` is {node.text}", expected="a whole number")
        elif (shape.least is not None and value < shape.least) or (
            shape.most is not None and value > shape.most
        ):
            limits = f"from {shape.least:g}" if shape.least is not None else ""
            limits += f" to {shape.most:g}" if shape.most is not None else ""
            self.mistake("J218", node.mark, f"`{name}` is {node.text}", expected=f"a number {limits.strip()}")

    def _object(self, node: Mapping, shape: Object, name: str) -> None:
        for key, mark in node.keys.items():
            known = shape.fields.get(key)
            if self.reporter.full:
                return
            if known is None:
                self._unknown(key, mark.mark, shape.fields, shape.later, name)
            else:
                self.visit(node.values[key], known.shape, key)
        for key, known in shape.fields.items():
            if known.needed and key not in node.keys:
                self.mistake(
                    "J202", node.mark, f"`{key}` is missing from {_called(name)}", expected=known.doc
                )
        if shape.one_of and not any(key in node.keys for key in shape.one_of):
            self.mistake(
                "J202", node.mark, f"`{name}` says nothing", expected=f"one of {listed(shape.one_of)}"
            )

    def _choice(self, node: Mapping, shape: Choice, name: str) -> None:
        if shape.what == "verb":
            own = node.get("id")
            name = f"step `{own.text[:60]}`" if isinstance(own, Scalar) else "step"
        present = [key for key in node.keys if key in shape.forms or key in shape.later]
        if not present:
            everything = {key for form in shape.forms.values() for key in form.fields} | set(shape.forms)
            unknown = [key for key in node.keys if key not in everything]
            for key in unknown:
                self._unknown(key, node.keys[key].mark, shape.forms, (), name)
            if not unknown:
                self.mistake(
                    "J210",
                    node.mark,
                    f"{_called(name)} has no {shape.what}",
                    expected=f"one of {listed(shape.forms, 20)}",
                )
            return
        if len(present) > 1:
            self.mistake(
                "J210",
                node.keys[present[1]].mark,
                f"{_called(name)} has more than one {shape.what}: {listed(present)}",
                expected=f"exactly one {shape.what}",
            )
        chosen = present[0]
        if chosen in shape.later:
            self.mistake(
                "J211",
                node.keys[chosen].mark,
                f"`{chosen}` is part of the language but not in this version",
                expected=f"one of {listed(shape.forms, 20)}",
            )
            return
        form = shape.forms[chosen]
        others = set(present[1:])
        trimmed = Mapping(
            node.mark,
            {key: mark for key, mark in node.keys.items() if key not in others},
            {key: value for key, value in node.values.items() if key not in others},
        )
        self._object(trimmed, form, name)

    def _unknown(
        self, key: str, mark: Mark, known: Map[str, object], later: tuple[str, ...], name: str
    ) -> None:
        if key in later:
            self.mistake("J211", mark, f"`{key}` is part of the language but not in this version")
            return
        self.mistake(
            "J201",
            mark,
            f"unknown key `{key[:60]}` in {_called(name)}",
            expected=listed(known, 20),
            hint=nearest(key, known),
        )


def conform(node: Node, shape: Shape, name: str, reporter: Reporter) -> bool:
    """Hold the node against the shape, reporting every departure. True if there is none."""
    walk = _Walk(reporter)
    walk.visit(node, shape, name)
    return walk.good
