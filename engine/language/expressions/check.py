"""Names and types of an expression against what is in reach: all mistakes, none of them at run time.

Types are those of the catalogue, `any` where nothing is known (below an object, answers), `null` for the
literal. Only what can never make sense is a problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.language.expressions.errors import Problem, did_you_mean
from engine.language.expressions.functions import SIGNATURES, Argument
from engine.language.expressions.tree import (
    Arithmetic,
    Call,
    Compare,
    Constant,
    Items,
    Logic,
    Negate,
    Not,
    Now,
    Occurred,
    Path,
    Tree,
)
from engine.language.lengths import parse_length

EVENT_TYPES: Mapping[str, str] = {"name": "text", "id": "text", "occurred_at": "datetime"}
"""What every event has beside its properties."""

_MOMENTS = frozenset({"date", "datetime"})
_ORDERED = frozenset({"number", "text", "date", "datetime"})
_WANTED: dict[Argument, frozenset[str]] = {
    "text": frozenset({"text"}),
    "tag": frozenset({"text"}),
    "channel": frozenset({"text"}),
    "number": frozenset({"number"}),
    "moment": _MOMENTS,
    "whole": frozenset({"text", "list"}),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may name in its place. A root that is None is out of reach there.

    `event` and `trigger` map properties to types (`any` is allowed); `name id occurred_at` need not be
    given. `events` holds every event that `count` and the like may name, with property types. `channels`
    that is empty is not checked. `why` says of a root out of reach why it is (`{"trigger": "…"}`).
    """

    event: Mapping[str, str] | None = None
    trigger: Mapping[str, str] | None = None
    profile: Mapping[str, str] | None = field(default_factory=dict)
    answers: frozenset[str] | None = None
    events: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    why: Mapping[str, str] = field(default_factory=dict)


def check(tree: Tree, scope: Scope, condition: bool = False) -> list[Problem]:
    """All mistakes of `tree`, from left to right. `condition`: it stands where true or false is needed."""
    return check_typed(tree, scope, condition)[0]


def check_typed(tree: Tree, scope: Scope, condition: bool = False) -> tuple[list[Problem], str]:
    """As `check`, with the type of the value: a catalogue type, `any` or `null`."""
    checker = _Checker(scope)
    found = checker.condition(tree) if condition else checker.type_of(tree)
    problems = list(dict.fromkeys(checker.problems))
    return sorted(problems, key=lambda problem: problem.offset), found


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.problems: list[Problem] = []

    def _say(
        self, node: Tree, code: str, message: str, expected: str | None = None, hint: str | None = None
    ) -> None:
        self.problems.append(Problem(node.offset, code, message, expected, hint))

    def _known(self, node: Tree, word: str, known: Iterable[str], what: str, code: str) -> bool:
        known = set(known)
        if word in known:
            return True
        listed = ", ".join(sorted(known)[:12]) or f"no {what} is declared"
        hint = did_you_mean(word, known) or f"declare it in journeys/catalog.yaml, or use a declared {what}"
        self._say(node, code, f"unknown {what} `{word[:80]}`", listed, hint)
        return False

    def condition(self, node: Tree) -> str:
        found = self.type_of(node)
        if found not in ("boolean", "any"):
            self._say(
                node,
                "condition",
                f"this is {_a(found)}, where true or false is needed",
                "a comparison or a function that answers true or false",
                "use exists(…), or compare it with a value",
            )
        return "boolean"

    def type_of(self, node: Tree) -> str:
        match node:
            case Constant(value):
                return _constant_type(value)
            case Items(items):
                for item in items:
                    self.type_of(item)
                return "list"
            case Now():
                return "datetime"
            case Path():
                return self._path(node)
            case Occurred(_, event, names):
                return self._occurred(node, event, names)
            case Call():
                return self._call(node)
            case Not(operand):
                return self.condition(operand)
            case Logic(_, operands):
                for operand in operands:
                    self.condition(operand)
                return "boolean"
            case Compare():
                return self._compare(node)
            case Arithmetic():
                return self._arithmetic(node)
            case Negate(operand):
                self._number(operand, self.type_of(operand))
                return "number"

    # --- names --------------------------------------------------------------------------------------------

    def _path(self, node: Path) -> str:
        if node.root == "answers":
            return self._answer(node)
        types = getattr(self.scope, node.root)
        if types is None:
            why = self.scope.why.get(node.root)
            self._say(
                node, "out-of-reach", f"`{node.root}` has no meaning here" + (f": {why}" if why else "")
            )
            return "any"
        if not node.names:
            return "object"
        if node.root in ("event", "trigger"):
            types = {**types, **EVENT_TYPES}
        return self._property(node, node.names, types, node.root)

    def _property(self, node: Tree, names: tuple[str, ...], types: Mapping[str, str], of: str) -> str:
        name, deeper = names[0], names[1:]
        if name not in types:
            what = "attribute of profile" if of == "profile" else f"property of {of}"
            self._known(node, name, types, what, "unknown-property")
            return "any"
        found = types[name]
        if not deeper:
            return found
        if found not in ("object", "any"):
            self._say(
                node,
                "unknown-property",
                f"`{name}` is {_a(found)} and has no `{deeper[0]}` inside",
                hint="declare it as `object` if it holds properties of its own",
            )
        return "any"

    def _answer(self, node: Path) -> str:
        if self.scope.answers is None:
            why = self.scope.why.get("answers", "no step has run yet")
            self._say(node, "out-of-reach", f"`answers` has no meaning here: {why}")
        elif node.names:
            self._known(node, node.names[0], self.scope.answers, "answer", "unknown-property")
        else:
            return "object"
        return "any"

    def _event(self, node: Tree, event: str) -> Mapping[str, str] | None:
        if not self._known(node, event, self.scope.events, "event", "unknown-event"):
            return None
        return self.scope.events[event]

    def _occurred(self, node: Tree, event: str, names: tuple[str, ...]) -> str:
        types = self._event(node, event)
        if not names:
            return "datetime"
        if types is None:
            return "any"
        return self._property(node, names, {**types, **EVENT_TYPES}, event)

    # --- operators ----------------------------------------------------------------------------------------

    def _compare(self, node: Compare) -> str:
        left_node, left = node.first, self.type_of(node.first)
        for sign, right_node in node.rest:
            right = self.type_of(right_node)
            self._pair(sign, left_node, left, right_node, right)
            left_node, left = right_node, right
        return "boolean"

    def _pair(self, sign: str, left_node: Tree, left: str, right_node: Tree, right: str) -> None:
        for node, found, other in ((left_node, left, right_node), (right_node, right, left_node)):
            if found == "null":
                shown = other if not isinstance(other, Constant) else node
                self._say(
                    node,
                    "null",
                    "a comparison with null is always false",
                    hint=f"use {'not ' if sign == '==' else ''}exists({_short(shown)})",
                )
                return
        if "any" in (left, right):
            self._stages(left_node, right_node)
            return
        if sign in ("in", "not in"):
            self._membership(left_node, left, right_node, right)
            return
        if left != right and not {left, right} <= _MOMENTS:
            self._say(
                right_node,
                "types",
                f"{_a(left)} and {_a(right)} are never equal nor in order",
                f"{_a(left)} on both sides",
                _moment_hint(left_node, left, right_node, right),
            )
        elif sign not in ("==", "!=") and not {left, right} <= _ORDERED:
            self._say(
                right_node, "types", f"`{sign}` has no meaning for {_a(left)}", "numbers, text or dates"
            )
        else:
            self._stages(left_node, right_node)

    def _membership(self, left_node: Tree, left: str, right_node: Tree, right: str) -> None:
        if right == "text":
            if left != "text":
                self._say(left_node, "types", f"{_a(left)} is never part of a text", "a text")
        elif right != "list":
            self._say(right_node, "types", f"`in` cannot look into {_a(right)}", "a list or a text")
        elif isinstance(right_node, Items):
            for item in right_node.items:
                found = _Checker(self.scope).type_of(item)
                self._stages(left_node, item)
                if found == "null":
                    self._say(item, "null", "nothing is ever equal to null", hint="use exists(…)")
                elif "any" not in (left, found) and left != found and not {left, found} <= _MOMENTS:
                    self._say(item, "types", f"{_a(left)} and {_a(found)} are never equal", _a(left))

    def _stages(self, left: Tree, right: Tree) -> None:
        for one, other in ((left, right), (right, left)):
            is_stage = isinstance(one, Call) and one.function == "stage"
            if is_stage and isinstance(other, Constant) and isinstance(other.value, str):
                self._known(other, other.value, self.scope.stages, "stage", "unknown-stage")

    def _arithmetic(self, node: Arithmetic) -> str:
        left = self.type_of(node.left)
        right = self.type_of(node.right)
        if node.operator in ("+", "-") and left in ("date", "datetime", "any") and right == "text":
            text = node.right.value if isinstance(node.right, Constant) else None
            if not isinstance(text, str):
                self._say(node.right, "types", "only a literal length can be added to a date", '"30d"')
            elif parse_length(text) is None:
                self._say(
                    node.right,
                    "length",
                    f"`{text[:50]}` is no length",
                    "a length such as 45s, 90m, 1h, 2d, 1d12h, 2w",
                )
            return left
        if left in _MOMENTS and right in _MOMENTS:
            self._say(node, "types", "dates cannot be taken from each other", "a number", "use days_since(…)")
            return "number"
        self._number(node.left, left)
        self._number(node.right, right)
        return "number"

    def _number(self, node: Tree, found: str) -> None:
        if found not in ("number", "any"):
            self._say(node, "types", f"{_a(found)} cannot be calculated with", "a number")

    # --- functions ----------------------------------------------------------------------------------------

    def _call(self, node: Call) -> str:
        signature = SIGNATURES[node.function]
        event: Mapping[str, str] | None = None
        for argument, wanted in zip(node.arguments, signature.arguments, strict=False):
            text = argument.value if isinstance(argument, Constant) else None
            match wanted:
                case "event":
                    event = self._event(argument, str(text))
                case "property":
                    self._amount(argument, str(text), event)
                case "segment":
                    known = self.scope.segments
                    self._known(argument, str(text), known, "segment", "unknown-segment")
                case "word":
                    self._word(argument, str(text), event)
                case "within" | "half_life":
                    pass
                case _:
                    self._argument(node, argument, wanted)
        return signature.gives

    def _amount(self, node: Tree, name: str, types: Mapping[str, str] | None) -> None:
        if types is None:
            return
        if self._known(node, name, types, "property of the event", "unknown-property") and types[
            name
        ] not in (
            "number",
            "any",
        ):
            self._say(node, "types", f"`{name}` is {_a(types[name])} and has no total", "a number")

    def _word(self, node: Tree, name: str, types: Mapping[str, str] | None) -> None:
        if types is None:
            return
        if self._known(node, name, types, "property of the event", "unknown-property") and types[
            name
        ] not in ("text", "any"):
            self._say(node, "types", f"`{name}` is {_a(types[name])} and has no favourite", "a text")

    def _argument(self, call: Call, node: Tree, wanted: Argument) -> None:
        found = self.type_of(node)
        fits = _WANTED.get(wanted)
        if fits is not None and found not in fits and found != "any":
            usage = SIGNATURES[call.function].usage(call.function)
            hint = f"write {usage}" if wanted != "moment" else 'days_since(last("order.paid"))'
            self._say(node, "types", f"`{call.function}` needs {_list(fits)} here", usage, hint)
        elif isinstance(node, Constant) and isinstance(node.value, str):
            if wanted == "tag":
                self._known(node, node.value, self.scope.tags, "tag", "unknown-tag")
            elif wanted == "channel" and self.scope.channels:
                self._known(node, node.value, self.scope.channels, "channel", "unknown-channel")


def _constant_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "text"
    return "number"


def _a(found: str) -> str:
    if found == "null":
        return "null"
    return f"an {found}" if found == "object" else f"a {found}"


def _list(fits: frozenset[str]) -> str:
    return " or ".join(_a(found) for found in sorted(fits))


def _short(node: Tree) -> str:
    match node:
        case Path(root, names):
            return ".".join((root, *names))
    return "…"


def _moment_hint(left_node: Tree, left: str, right_node: Tree, right: str) -> str | None:
    if (left in _MOMENTS and right == "text") or (right in _MOMENTS and left == "text"):
        return 'count days with days_since(…), or compare with `now - "30d"`'
    if {left, right} == {"number", "text"}:
        node = right_node if right == "text" else left_node
        if isinstance(node, Constant) and isinstance(node.value, str):
            try:
                float(node.value)
            except ValueError:
                return None
            return f"write {node.value} without quotes"
    return None
