"""Percentages, times of day, instants, zones and rates, as journeys write them.

Every `read_…` returns None for text that is not one.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import available_timezones

from engine.language.lengths import parse_length
from engine.language.types import parse_date

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_RATE = re.compile(r"([0-9]{1,6})/(s|m|h|d)")

DAYS = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}
"""Names of weekdays to ISO numbers."""

_ZONES = frozenset(available_timezones())


def read_length(text: str, *, signed: bool = False) -> timedelta | None:
    """A length; only with `signed` may it begin with `-`."""
    if signed and text.startswith("-"):
        length = parse_length(text[1:])
        return None if length is None else -length
    return parse_length(text)


def read_percentage(text: str) -> int | None:
    """`5%` in units of 1/10,000: 500."""
    found = _PERCENT.fullmatch(text)
    if not found:
        return None
    whole, _, part = found[1].partition(".")
    units = int(whole) * 100 + int((part + "00")[:2])
    return units if units <= 10_000 else None


def read_time(text: str) -> str | None:
    """A time of day `HH:MM` or `HH:MM:SS`."""
    return text if _TIME.fullmatch(text) else None


def is_window_time(text: str) -> bool:
    """Whether it is a time of day, or `24:00`."""
    return text == "24:00" or read_time(text) is not None


def read_instant(text: str) -> datetime | None:
    """An ISO 8601 instant, to the minute at least; without an offset it is naive."""
    if not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def read_date(text: str) -> date | None:
    return parse_date(text)


def is_zone(text: str) -> bool:
    """Whether it is the name of a time zone of the IANA database."""
    return text in _ZONES


def zones() -> frozenset[str]:
    return _ZONES


def read_rate(text: str) -> float | None:
    """`20/s` as a number a second."""
    found = _RATE.fullmatch(text)
    if not found or int(found[1]) == 0:
        return None
    return int(found[1]) / {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
