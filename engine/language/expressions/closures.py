"""The first back end: a tree becomes a closure over `Facts`.

Total: no facts make a closure raise. Recursion is bounded by `MAX_DEPTH` of a tree times `MAX_NESTING` of
definitions inside definitions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Any

from engine.language.catalogue import PERSONALISE
from engine.language.expressions import fading, values
from engine.language.expressions.facts import Facts, Occurrence
from engine.language.expressions.parse import parse
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
from engine.language.types import Value, clean, coerce, number

Closure = Callable[[Facts], Value]
OF_EVERY_EVENT = frozenset({"name", "id", "occurred_at"})
"""What events have beside their properties, and wins over properties of these names."""
MAX_NESTING = 8
"""Segments, computed attributes and stages inside one another; deeper reads as null, and is a mistake that
`check_definitions` finds."""

_at = attrgetter("at")
_EXACT = Context(prec=1_000)  # more digits than any sum of doubles has


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Closure:
    """A closure that gives the value of `text`. Raises `ExpressionError` if `text` is no expression."""
    return compile_tree(parse(text))


def evaluate(text: str, facts: Facts) -> Value:
    """The value of `text` for these facts."""
    return compile_expression(text)(facts)


def with_computed(facts: Facts, names: Iterable[str]) -> dict[str, Any]:
    """The profile as templates see it: its attributes, and these computed ones."""
    names = (PERSONALISE, *names)
    return {**facts.profile, **{name: evaluate(f"profile.{name}", facts) for name in names}}


def holds(text: str, facts: Facts) -> bool:
    """Whether the condition `text` is true; any value other than true is false."""
    return compile_expression(text)(facts) is True


def compile_tree(tree: Tree) -> Closure:
    """The closure of a tree."""
    match tree:
        case Constant(value):
            return lambda facts: value
        case Items(items):
            if all(isinstance(item, Constant) for item in items):
                fixed = [item.value for item in items if isinstance(item, Constant)]
                return lambda facts: list(fixed)
            parts = [compile_tree(item) for item in items]
            return lambda facts: [part(facts) for part in parts]
        case Now():
            return lambda facts: facts.now
        case Path(root, names):
            return _path(root, names)
        case Occurred(which, event, names):
            return _occurred(which == "last", event, names)
        case Call(function, arguments):
            return _call(function, arguments)
        case Not(operand):
            inner = compile_tree(operand)
            return lambda facts: inner(facts) is not True
        case Logic(operator, operands):
            return _logic(operator, [compile_tree(operand) for operand in operands])
        case Compare(first, rest):
            return _compare(compile_tree(first), [(sign, compile_tree(right)) for sign, right in rest])
        case Arithmetic():
            return _arithmetic(tree)
        case Negate(operand):
            inner = compile_tree(operand)
            return lambda facts: values.calculate("-", 0, inner(facts))


def _logic(operator: str, parts: Sequence[Closure]) -> Closure:
    if operator == "and":

        def every(facts: Facts) -> bool:
            for part in parts:  # noqa: SIM110  (a generator would cost a frame a part)
                if part(facts) is not True:
                    return False
            return True

        return every

    def some(facts: Facts) -> bool:
        for part in parts:  # noqa: SIM110
            if part(facts) is True:
                return True
        return False

    return some


def _compare(first: Closure, rest: Sequence[tuple[str, Closure]]) -> Closure:
    if len(rest) == 1:
        sign, right = rest[0]
        test = _TESTS[sign]
        return lambda facts: test(first(facts), right(facts), facts)

    def chain(facts: Facts) -> bool:
        left = first(facts)
        for sign, part in rest:
            right = part(facts)
            if not _TESTS[sign](left, right, facts):
                return False
            left = right
        return True

    return chain


def _order(sign: str) -> Callable[[Value, Value, Facts], bool]:
    return lambda left, right, facts: values.ordered(sign, left, right, facts.zone)


_TESTS: dict[str, Callable[[Value, Value, Facts], bool]] = {
    "==": lambda left, right, facts: values.same(left, right, facts.zone) is True,
    "!=": lambda left, right, facts: values.same(left, right, facts.zone) is False,
    "in": lambda left, right, facts: values.member(left, right, facts.zone) is True,
    "not in": lambda left, right, facts: values.member(left, right, facts.zone) is False,
} | {sign: _order(sign) for sign in ("<", "<=", ">", ">=")}


def _arithmetic(tree: Arithmetic) -> Closure:
    left = compile_tree(tree.left)
    right = compile_tree(tree.right)
    sign = tree.operator
    if sign in ("+", "-") and isinstance(tree.right, Constant) and isinstance(tree.right.value, str):
        length = parse_length(tree.right.value)
        if length is None:
            return lambda facts: None
        return lambda facts: values.shift(left(facts), length, sign)
    return lambda facts: values.calculate(sign, left(facts), right(facts))


# --- names ------------------------------------------------------------------------------------------------


def _path(root: str, names: tuple[str, ...]) -> Closure:
    whole = attrgetter(root)
    if not names:
        return lambda facts: clean(whole(facts))
    name, deeper = names[0], names[1:]
    if root == "profile" and name == PERSONALISE:
        return lambda facts: None if deeper else facts.profile.get(PERSONALISE) is not False
    if root == "profile":

        def attribute(facts: Facts) -> Value:
            if name in facts.definitions.computed:
                return _descend(defined(facts, "computed", name), deeper)
            return _descend(clean(facts.profile.get(name)), deeper)

        return attribute
    if name == "occurred_at" and root != "answers":

        def instant(facts: Facts) -> Value:
            found = whole(facts)
            return None if found is None or deeper else coerce(found.get(name), "datetime")

        return instant

    def property_of(facts: Facts) -> Value:
        found = whole(facts)
        return None if found is None else _descend(clean(found.get(name)), deeper)

    return property_of


def _descend(value: Value, names: tuple[str, ...]) -> Value:
    for name in names:
        if not isinstance(value, dict):
            return None
        value = clean(value.get(name))
    return value


def defined(facts: Facts, kind: str, name: str) -> Value:
    """The value of a segment, a computed attribute or (without a name) the stage, worked out once.

    A definition that needs itself, or lies deeper than `MAX_NESTING`, is null there.
    """
    place = (kind, name)
    if place in facts._known:
        return facts._known[place]
    if place in facts._open or len(facts._open) >= MAX_NESTING:
        return None
    facts._open.append(place)
    try:
        value = _work_out(facts, kind, name)
    finally:
        facts._open.pop()
    facts._known[place] = value
    return value


def _work_out(facts: Facts, kind: str, name: str) -> Value:
    definitions = facts.definitions
    if kind == "segment":
        return holds(definitions.segments[name], facts)
    if kind == "tag":
        return holds(definitions.tags[name], facts)
    if kind == "computed":
        return evaluate(definitions.computed[name], facts)
    for stage, where in reversed(definitions.stages):
        if where is None or holds(where, facts):
            return stage
    return None


# --- history ----------------------------------------------------------------------------------------------


def _seen(facts: Facts, event: str, within: timedelta | None) -> Sequence[Occurrence]:
    """Occurrences with now - within <= at <= now."""
    history = facts.history.get(event)
    if not history:
        return ()
    end = bisect_right(history, facts.now, key=_at)
    if within is None:
        return history[:end]
    try:
        since = facts.now - within
    except OverflowError:
        return history[:end]
    return history[bisect_left(history, since, key=_at) : end]


def _occurred(latest: bool, event: str, names: tuple[str, ...]) -> Closure:
    def occurrence(facts: Facts) -> Value:
        history = facts.history.get(event)
        if not history:
            return None
        end = bisect_right(history, facts.now, key=_at)
        if not end:
            return None
        found = history[end - 1] if latest else history[0]
        if not names or names == ("occurred_at",):
            return found.at
        if names == ("name",):
            return event
        return _descend(clean(found.properties.get(names[0])), names[1:])

    return occurrence


def _count(event: str, within: timedelta | None) -> Closure:
    return lambda facts: len(_seen(facts, event, within))


def _total(event: str, name: str, within: timedelta | None) -> Closure:
    def total(facts: Facts) -> Value:
        amounts = (number(seen.properties.get(name)) for seen in _seen(facts, event, within))
        return sum_of(amount for amount in amounts if amount is not None)

    return total


def sum_of(amounts: Iterable[int | float]) -> int | float | None:
    """Amounts as they are written, added up without rounding: ten times 0.1 is 1, in any order."""
    result, parts = 0, list[float]()
    for amount in amounts:
        if isinstance(amount, int):
            result += amount
        else:
            parts.append(amount)
    found = float(result)
    if parts:
        with localcontext(_EXACT):
            found = float(sum(map(Decimal, map(repr, parts)), Decimal(result)))
    return number(found) if abs(found) <= values.LARGEST else None


def _favourite(event: str, name: str, within: timedelta | None) -> Closure:
    if name in OF_EVERY_EVENT:
        return lambda facts: None

    def favourite(facts: Facts) -> Value:
        times: dict[str, tuple[int, int]] = {}
        for place, seen in enumerate(_seen(facts, event, within)):
            value = seen.properties.get(name)
            if isinstance(value, str):
                times[value] = times.get(value, (0, 0))[0] + 1, place
        return max(times, key=times.__getitem__) if times else None

    return favourite


def _decayed(event: str, half_life: timedelta | None) -> Closure:
    if half_life is None:
        return lambda facts: None
    reach = fading.reach(half_life)

    def decayed(facts: Facts) -> Value:
        return fading.summed(
            fading.left(facts.now - seen.at, half_life) for seen in _seen(facts, event, reach)
        )

    return decayed


# --- functions --------------------------------------------------------------------------------------------


def _call(function: str, arguments: tuple[Tree, ...]) -> Closure:
    match function, arguments:
        case "in_segment", (Constant(str(name)),):
            return _in_segment(name)
        case "has_tag", (Constant(str(name)),):
            return _has_tag(name)
        case "count", (Constant(str(event)), *rest):
            return _count(event, _within(rest))
        case "total", (Constant(str(event)), Constant(str(name)), *rest):
            return _total(event, name, _within(rest))
        case "favourite", (Constant(str(event)), Constant(str(name)), *rest):
            return _favourite(event, name, _within(rest))
        case "decayed", (Constant(str(event)), *rest):
            return _decayed(event, _within(rest))
        case "stage", ():
            return lambda facts: facts.stage if facts.stage is not None else defined(facts, "stage", "")
    parts = [compile_tree(argument) for argument in arguments]
    if len(parts) == 1:
        one, first = _OF_ONE[function], parts[0]
        return lambda facts: one(facts, first(facts))
    two, first, second = _OF_TWO[function], parts[0], parts[1]
    return lambda facts: two(facts, first(facts), second(facts))


def _within(rest: Sequence[Tree]) -> timedelta | None:
    if rest and isinstance(rest[0], Constant) and isinstance(rest[0].value, str):
        return parse_length(rest[0].value)
    return None


def _in_segment(name: str) -> Closure:
    def in_segment(facts: Facts) -> bool:
        if name in facts.definitions.segments:
            return defined(facts, "segment", name) is True
        return name in facts.segments

    return in_segment


def _has_tag(name: str) -> Closure:
    def has_tag(facts: Facts) -> bool:
        if name in facts.definitions.tags:
            return defined(facts, "tag", name) is True
        return name in facts.tags

    return has_tag


def bucket(key: str, salt: Any, n: Any) -> int | float | None:
    """Where `key` falls among `n` parts, from 0; null unless `salt` is text and `n` whole and positive."""
    parts = number(n) if not isinstance(n, bool) else None
    if not isinstance(salt, str) or parts is None or parts < 1 or parts != int(parts):
        return None
    digest = sha256(f"1:{salt}:{key}".encode(errors="surrogatepass")).digest()
    return number(int.from_bytes(digest[:8], "big") % int(parts))


def _starts_with(facts: Facts, text: Value, start: Value) -> bool:
    return isinstance(text, str) and isinstance(start, str) and text.startswith(start)


_OF_ONE: dict[str, Callable[[Facts, Value], Value]] = {
    "has_tag": lambda facts, tag: isinstance(tag, str) and tag in facts.tags,
    # `*` is the word on every channel that has no later one of its own.
    "consent": lambda facts, channel: (
        isinstance(channel, str) and facts.consents.get(channel, facts.consents.get("*")) is True
    ),
    "exists": lambda facts, value: value is not None,
    "lower": lambda facts, text: values.lower(text),
    "days_since": lambda facts, moment: values.days_since(moment, facts.now, facts.zone),
}
_OF_TWO: dict[str, Callable[[Facts, Value, Value], Value]] = {
    "starts_with": _starts_with,
    "contains": lambda facts, whole, part: values.member(part, whole, facts.zone) is True,
    "bucket": lambda facts, salt, n: bucket(facts.key, salt, n),
}
