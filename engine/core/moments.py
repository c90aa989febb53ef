"""Moments that no event tells of: a date that comes round. The arithmetic that every driver shares.

A date comes round from the date itself on: a birthday not before birth. 29 February is 28 February in other
years, a day that a month does not have is its last. Whole days of an offset are days of the calendar, so that
a week before ten o'clock is ten o'clock; what is left of it is a length of time. Local times are read as in
`engine.core.calendar`.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from engine.core.calendar import at_local, parse_time, zone_of
from engine.core.plan import Trigger

Every = Literal["year", "month", "once"]
DAY = timedelta(days=1)
_AROUND = timedelta(days=2)
"""No local date is further than this from the date in UTC, summer time included."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`at` is when it comes; `date` is what came round, before the offset: of a datetime an instant."""

    at: datetime
    date: date


def _following(value: date, every: Every, year: int, month: int) -> date | None:
    """The day of `value` in that year (and month); None where it has none."""
    month = value.month if every == "year" else month
    try:
        return date(year, month, min(value.day, monthrange(year, month)[1]))
    except ValueError:
        return None


def _rounds(value: date, every: Every, first: date, last: date) -> Iterator[date]:
    """The days on which `value` comes round, from itself on, ascending, with `first <= day <= last`."""
    if every == "once":
        if first <= value <= last:
            yield value
        return
    day = max(first, value)
    year, month = day.year, day.month
    while (year, month) <= (last.year, last.month):
        found = _following(value, every, year, month)
        if found is not None and max(first, value) <= found <= last:
            yield found
        year, month = (year + 1, 1) if every == "year" or month == 12 else (year, month + 1)


def moments(
    value: object, found: Trigger, zone_name: str, after: datetime, until: datetime
) -> Iterator[Moment]:
    """The moments of a `date` trigger for one customer, ascending, with `after < at <= until`.

    `value` is the attribute's, a date or an aware datetime; anything else has no moments. `zone_name` is the
    customer's time zone.
    """
    if not isinstance(value, date) or until <= after:
        return
    zone = zone_of(zone_name)
    try:
        own = value.astimezone(zone) if isinstance(value, datetime) else None
        first = (after - found.offset - _AROUND).date()
        last = (until - found.offset + _AROUND).date()
    except OverflowError:
        return
    day = value if own is None else own.date()
    for each in _rounds(day, found.every, first, last):
        came: date = each
        if own is not None:
            came = own if each == day else at_local(each, own.timetz().replace(tzinfo=None, fold=0), zone)
        one = _moment(each, came, found, zone)
        if one is not None and after < one.at <= until:
            yield one


def _moment(day: date, came: date, found: Trigger, zone: ZoneInfo) -> Moment | None:
    """The moment of a day that came round; `came` is the day, or the instant of a datetime."""
    whole = timedelta(days=int(found.offset / DAY))
    try:
        if isinstance(came, datetime):
            came = came.astimezone(UTC)
            if found.at is None and not whole:
                return Moment(came + found.offset, came)
        clock = time(0)
        if found.at is not None:
            clock = parse_time(found.at)
        elif isinstance(came, datetime):
            clock = came.astimezone(zone).timetz().replace(tzinfo=None, fold=0)
        return Moment(at_local(day + whole, clock, zone) + (found.offset - whole), came)
    except OverflowError:
        return None


def days_coming(found: Trigger, zone_name: str, after: datetime, until: datetime) -> list[date]:
    """The days whose moment lies in `after < at <= until`, for customers in that zone, whatever their dates:
    of a trigger with a time of day of its own, or of an attribute of type date."""
    zone = zone_of(zone_name)
    day = (after - found.offset - _AROUND).date()
    last = (until - found.offset + _AROUND).date()
    days = []
    while day <= last:
        one = _moment(day, day, found, zone)
        if one is not None and after < one.at <= until:
            days.append(day)
        day += DAY
    return days


def said_as(day: date, every: Every) -> tuple[str, ...]:
    """How a date is written that comes round on this day: `MM-DD`, `DD`, or the whole date."""
    if every == "once":
        return (day.isoformat(),)
    last = day.day == monthrange(day.year, day.month)[1]
    if every == "month":
        return tuple(f"{each:02}" for each in (range(day.day, 32) if last else (day.day,)))
    leap = ("02-29",) if last and (day.month, day.day) == (2, 28) else ()
    return (f"{day:%m-%d}", *leap)


def next_moment(value: object, found: Trigger, zone_name: str, after: datetime) -> Moment | None:
    """The first moment strictly later than `after`; None if there is none within two hundred years."""
    if not isinstance(value, date):
        return None
    reach, rounds = (timedelta(days=73_000), 1) if found.every == "once" else (timedelta(days=366), 200)
    try:
        for _ in range(rounds):
            one = next(moments(value, found, zone_name, after, after + reach), None)
            if one is not None:
                return one
            after += reach
    except OverflowError:
        return None
    return None
