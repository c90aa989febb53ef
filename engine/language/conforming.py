"""Holds the nodes of a file against the shapes of the language and reports every departure."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from engine.language import scalars
from engine.language.diagnostics import Mark, Reporter, listed, nearest
from engine.language.loader import Mapping, Node, Scalar, Sequence
from engine.language.shapes import (
    DEFINITIONS,
    KINDS,
    Anything,
    Boolean,
    Choice,
    Either,
    Listing,
    Null,
    Number,
    Object,
    Ref,
    Shape,
    Table,
    Text,
)


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
                            "J208",
                            mark.mark,
                            f"`{key[:60]}` is not {kind.named}",
                            expected=kind.expected,
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
                f"`{text[:60]}` is not {kind.named}",
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
