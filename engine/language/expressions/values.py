"""Comparison and arithmetic of values, as the journey language means them. Nothing here raises."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from engine.language.types import Value, clean, midnight, number

LARGEST = 1e15
"""Arithmetic beyond it is null: below, doubles still tell whole numbers apart."""
_DEEPEST = 32

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UPPER = {ord(c): ord(c.lower()) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def kind(value: Value) -> str | None:
    """`text number boolean date datetime list object`, or None for null."""
    match value:
        case None:
            return None
        case str():
            return "text"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case datetime():
            return "datetime"
        case date():
            return "date"
        case list():
            return "list"
        case dict():
            return "object"
    return None


def same(left: Value, right: Value, zone: tzinfo, depth: int = 0) -> bool | None:
    """Whether two values are equal; None where they cannot be compared (null, unlike types)."""
    type_ = type(left)
    if type_ is type(right) and (type_ is str or type_ is bool):
        return bool(left == right)
    left, right = clean(left), clean(right)
    first, second = kind(left), kind(right)
    if first is None or second is None:
        return None
    if first != second:
        if {first, second} != {"date", "datetime"}:
            return None
        one, two = _instant(left, zone), _instant(right, zone)
        return None if one is None or two is None else one == two
    if first in ("list", "object"):
        return _same_inside(left, right, zone, depth)
    return bool(left == right)


def _same_inside(left: Any, right: Any, zone: tzinfo, depth: int) -> bool:
    if len(left) != len(right) or depth >= _DEEPEST:
        return False
    if isinstance(left, list):
        pairs = list(zip(left, right, strict=True))
    else:
        if left.keys() != right.keys():
            return False
        pairs = [(left[name], right[name]) for name in left]
    return all((a is None and b is None) or same(a, b, zone, depth + 1) is True for a, b in pairs)


def ordered(sign: str, left: Value, right: Value, zone: tzinfo) -> bool:
    """`left < right` and the like: numbers, text by code point, dates and instants; else false."""
    first, second = kind(left), kind(right)
    if first != second:
        if {first, second} != {"date", "datetime"}:
            return False
        left, right = _instant(left, zone), _instant(right, zone)
        if left is None or right is None:
            return False
    elif first not in ("number", "text", "date", "datetime"):
        return False
    return _ORDER[sign](left, right)


def member(item: Value, whole: Value, zone: tzinfo) -> bool | None:
    """Whether a list holds `item` or a text holds it as a part; None where that cannot be asked."""
    if item is None:
        return None
    if isinstance(whole, list):
        return any(same(item, other, zone) is True for other in whole)
    if isinstance(whole, str) and isinstance(item, str):
        return item in whole
    return None


def calculate(sign: str, left: Value, right: Value) -> int | float | None:
    """`left sign right` of two numbers, or null: not a number, by zero, beyond `LARGEST`."""
    a, b = _operand(left), _operand(right)
    if a is None or b is None:
        return None
    try:
        match sign:
            case "+":
                result = a + b
            case "-":
                result = a - b
            case "*":
                result = a * b
            case "/":
                result = a / b
            case _:
                result = a % b
    except (ZeroDivisionError, OverflowError):
        return None
    return result if -LARGEST <= result <= LARGEST else None


def _operand(value: Value) -> int | float | None:
    return None if isinstance(value, bool) else number(value)


def shift(moment: Value, length: timedelta, sign: str) -> Value:
    """A date or instant moved by a length; a date only by whole days. Anything else is null."""
    if not isinstance(moment, date):
        return None
    if not isinstance(moment, datetime) and length % timedelta(days=1):
        return None
    try:
        return moment + length if sign == "+" else moment - length
    except OverflowError:
        return None


def days_since(moment: Value, now: datetime, zone: tzinfo) -> int | None:
    """Whole days from `moment` to `now`, rounded down; of a date, days of the calendar in `zone`."""
    try:
        if isinstance(moment, datetime):
            return (now - moment) // timedelta(days=1)
        if isinstance(moment, date):
            return (now.astimezone(zone).date() - moment).days
    except (OverflowError, TypeError):
        pass
    return None


def lower(value: Value) -> str | None:
    """ASCII letters in lower case; all others as they are."""
    return value.translate(_UPPER) if isinstance(value, str) else None


def _instant(value: Value, zone: tzinfo) -> datetime | None:
    if isinstance(value, datetime):
        return value
    return midnight(value, zone) if isinstance(value, date) else None
