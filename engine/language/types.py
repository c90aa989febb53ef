"""Value types of the catalogue and of expressions, and how JSON becomes such values.

`text number boolean date datetime list object`; missing is None. Numbers are doubles: an integer stays an
`int` only as far as a double holds it exactly. Booleans are not numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Literal

Value = Any
"""None, bool, int, float, str, date, aware datetime, list or dict of such."""

ValueType = Literal["text", "number", "boolean", "date", "datetime", "list", "object"]
TYPES: tuple[ValueType, ...] = ("text", "number", "boolean", "date", "datetime", "list", "object")

_EXACT = 2**53
_DEEPEST = 64
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?"
)


def number(value: object) -> int | float | None:
    """`value` as a double, or None if it is no finite number. Integers beyond 2^53 round as doubles do."""
    kind = type(value)
    if kind is int:
        if -_EXACT <= value <= _EXACT:  # type: ignore[operator]
            return value  # type: ignore[return-value]
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:
            return None
    if kind is float:
        return value if math.isfinite(value) else None  # type: ignore[arg-type, return-value]
    return None


def clean(value: object) -> Value:
    """`value` if expressions know its kind, None if not. Instants come out in UTC, naive ones are not
    known. Shallow."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int or kind is float:
        return number(value)
    if kind is list or kind is dict or kind is date:
        return value
    if isinstance(value, datetime):
        return _in_zone(value, UTC) if value.utcoffset() is not None else None
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return None


def parse_date(text: str) -> date | None:
    """An ISO date `2026-11-11`, else None."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def parse_datetime(text: str, zone: tzinfo = UTC) -> datetime | None:
    """An ISO 8601 instant in UTC, else None. Without an offset it is read in `zone`."""
    if not _DATETIME.fullmatch(text):
        return None
    try:
        instant = datetime.fromisoformat(text.upper().replace(",", "."))
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def coerce(value: object, type: str, zone: tzinfo = UTC) -> Value:
    """`value` read as `type`; None where it is of another type.

    Text is never read as a number or the other way round. A date takes the day of an instant's own text; a
    datetime takes a bare date as midnight in `zone`. A type that is not one of `TYPES` lets everything by.
    """
    value = clean(value)
    if value is None:
        return None
    match type:
        case "text":
            return value if isinstance(value, str) else None
        case "number":
            return number(value)
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            if isinstance(value, str):
                return parse_date(value[:10]) if parse_datetime(value) else parse_date(value)
            if isinstance(value, datetime):
                local = _in_zone(value, zone)
                return local.date() if local is not None else None
            return value if isinstance(value, date) else None
        case "datetime":
            return _coerce_datetime(value, zone)
        case "list":
            return value if isinstance(value, list) else None
        case "object":
            return value if isinstance(value, dict) else None
    return value


def _coerce_datetime(value: Value, zone: tzinfo) -> datetime | None:
    if isinstance(value, str):
        instant = parse_datetime(value, zone)
        if instant is not None:
            return instant
        value = parse_date(value)
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return midnight(value, zone)
    return None


def _in_zone(instant: datetime, zone: tzinfo) -> datetime | None:
    if instant.tzinfo is zone:
        return instant
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return None


def midnight(day: date, zone: tzinfo) -> datetime | None:
    """The instant at which `day` begins in `zone`, in UTC; None at the calendar's very ends."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None


def typed(properties: Mapping[str, Any], types: Mapping[str, str], zone: tzinfo = UTC) -> dict[str, Value]:
    """`properties` with every declared one read as its type. Undeclared ones are kept as they are."""
    return {
        name: coerce(value, types[name], zone) if name in types else clean(value)
        for name, value in properties.items()
    }


def to_json(value: Value, _depth: int = 0) -> Any:
    """The JSON form of a value: instants as ISO text in UTC, whole doubles as integers.

    `coerce(to_json(v), type)` gives `v` back. What JSON cannot hold (NaN, foreign objects, nesting beyond 64)
    is null.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        known = number(value)
        return (
            int(known) if isinstance(known, float) and known.is_integer() and abs(known) <= _EXACT else known
        )
    if isinstance(value, datetime):
        instant = clean(value)
        return instant.isoformat() if instant is not None else None
    if isinstance(value, date):
        return value.isoformat()
    if _depth >= _DEEPEST:
        return None
    if isinstance(value, list | tuple):
        return [to_json(item, _depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item, _depth + 1) for key, item in value.items()}
    return None
