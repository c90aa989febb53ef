"""One cell as a value of the type that the catalogue declares.

A cell that is not of its type is refused, and its line with it: a column that changes its type half-way is
seen, instead of read as nothing later. What is not declared is kept as it comes; text stays text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

YES: Final = frozenset({"true", "yes", "y", "1", "t", "on", "是", "有", "同意", "已同意"})
NO: Final = frozenset({"false", "no", "n", "0", "f", "off", "否", "无", "不同意", "未同意"})
_FORMULA: Final = frozenset("=+-@\t\r")
_NUMBER: Final = re.compile(r"[+-]?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?")
_PARTS: Final = re.compile(r"[,;|、，；]")
_DAY: Final = re.compile(r"(\d{4})[-/.年]?(\d{1,2})[-/.月]?(\d{1,2})日?")


class Odd(ValueError):
    """Why a cell is no value of its type. Does not repeat the cell."""


Reader = Callable[[Any], Any]


def reader(kind: str | None, zone: ZoneInfo, form: str | None = None) -> Reader:
    """How cells of a declared type are read; None for what is not declared.

    `form` reads dates, as `strptime` does; `zone` is that of instants without an offset.
    """
    match kind:
        case "text":
            return text
        case "number":
            return number
        case "boolean":
            return boolean
        case "date":
            return lambda value: day(value, form).isoformat()
        case "datetime":
            return lambda value: instant(value, zone, form).isoformat()
        case "list":
            return listing
        case "object":
            return mapping
    if form is not None:
        return lambda value: instant(value, zone, form).isoformat()
    return plain


def plain(value: Any) -> Any:
    """The cell as JSON."""
    if type(value) is str:
        return unguarded(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        raise Odd("expected text, got bytes")
    if isinstance(value, float) and not math.isfinite(value):
        raise Odd("a number that JSON does not have")
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def unguarded(cell: str) -> str:
    """Without the `'` that spreadsheets are given to keep them from calculating (as our export does)."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


def guarded(value: Any) -> Any:
    """A value for a spreadsheet, which must not take it for a formula (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def text(value: Any) -> str:
    found = plain(value)
    if isinstance(found, str):
        return found
    if isinstance(found, bool | list | dict):
        raise Odd("expected text")
    return str(found)


def number(value: Any) -> int | float:
    found = plain(value)
    if isinstance(found, str):
        found = found.strip()
        if not _NUMBER.fullmatch(found):
            raise Odd("expected a number, such as 12.5")
        whole = found.lstrip("+-").isdigit()
        found = int(found) if whole else float(found)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise Odd("expected a number, such as 12.5")
    return found


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in YES:
        return True
    if word in NO:
        return False
    raise Odd("expected yes or no")


def day(value: Any, form: str | None = None) -> date:
    """A date: 2026-11-11, 2026/11/11, 20261111, 2026年11月11日, or in the format given."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    word = str(value).strip()
    try:
        if form is not None:
            return datetime.strptime(word, form).date()  # noqa: DTZ007 - a date has no zone
        if found := _DAY.fullmatch(word.partition(" ")[0].partition("T")[0]):
            return date(*(int(each) for each in found.groups()))
    except ValueError:
        pass
    raise Odd(f"expected a date, such as {'the format' if form else '2026-11-11'}")


def instant(value: Any, zone: ZoneInfo, form: str | None = None) -> datetime:
    """An instant in UTC: ISO 8601, `2026/11/11 10:00`, seconds or milliseconds since 1970, or a date."""
    try:
        return _instant(value, zone, form).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        shown = "as its format says" if form else "such as 2026-11-11 10:00"
        raise Odd(f"expected a date and time, {shown}") from None


def _instant(value: Any, zone: ZoneInfo, form: str | None) -> datetime:
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime.combine(value, time())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    else:
        word = unguarded(str(value).strip())
        if form is not None:
            found = datetime.strptime(word, form)  # noqa: DTZ007 - its zone follows
        elif word.isdigit() and len(word) in (10, 13):
            return datetime.fromtimestamp(int(word) / (1000 if len(word) == 13 else 1), UTC)
        else:
            found = _of_text(word)
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def _of_text(word: str) -> datetime:
    try:
        return datetime.fromisoformat(word)
    except ValueError:
        head, _, rest = word.replace("T", " ").partition(" ")
        on = day(head)
        return datetime.combine(on, time.fromisoformat(_two_digits(rest)) if rest.strip() else time())


def _two_digits(clock: str) -> str:
    hour, colon, rest = clock.strip().partition(":")
    return f"{hour.zfill(2)}{colon}{rest}"


def listing(value: Any) -> list[Any]:
    """A list: of JSON, or of text with commas, semicolons or bars between."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    word = str(value).strip()
    if word.startswith("["):
        found = _json(word)
        if isinstance(found, list):
            return found
        raise Odd("expected a list")
    return [each.strip() for each in _PARTS.split(word) if each.strip()]


def mapping(value: Any) -> dict[str, Any]:
    found = _json(value) if isinstance(value, str) else plain(value)
    if not isinstance(found, dict):
        raise Odd("expected an object of JSON")
    return found


def _json(word: str) -> Any:
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        raise Odd("expected JSON") from None
