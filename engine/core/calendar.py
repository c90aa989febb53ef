"""Local time: the next such moment, windows, dates as instants.

All instants in and out are aware; results are in UTC. A local time that does not exist (the clock goes
forward) moves to the first that does; one that comes twice is the first. Vectors over summer time are in
`tests/vectors/calendar.json`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = timedelta(days=1)


def zone_of(name: str) -> ZoneInfo:
    """The zone of that IANA name; UTC for a name that no longer exists, because a wait must end."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=256)
def parse_time(text: str) -> time:
    """`HH:MM` or `HH:MM:SS`; `24:00` is the end of the day and reads as midnight."""
    hours, minutes, *rest = (int(part) for part in text.split(":"))
    return time(hours % 24, minutes, rest[0] if rest else 0)


def at_local(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """That local time as an instant in UTC."""
    local = datetime.combine(day, clock, tzinfo=zone)  # fold=0: of two, the first
    instant = local.astimezone(UTC)
    back = instant.astimezone(zone).replace(tzinfo=None)
    if back == local.replace(tzinfo=None):
        return instant
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    # Inside a gap the offset before it (fold=0) is smaller than the one after it (fold=1): the first
    # local time that exists is the instant of the change, found by bisection between the two readings.
    low = local.replace(fold=1).astimezone(UTC)
    high = local.replace(fold=0).astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        middle = middle.replace(microsecond=0)
        if middle == low:
            break
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _allowed(day: date, days: tuple[int, ...]) -> bool:
    return not days or day.isoweekday() in days


def _between(local: datetime, start: time, end: time) -> bool:
    """Whether the clock shows a time in the window. Where the clock shows it twice this says little."""
    shown = local.time()
    return start <= shown < end if start < end else shown >= start or shown < end


def next_time(now: datetime, clock: str, days: tuple[int, ...], zone_name: str) -> datetime:
    """The next such local moment, strictly later than `now`."""
    zone = zone_of(zone_name)
    wanted = parse_time(clock)
    day = now.astimezone(zone).date() - DAY
    for _ in range(16):
        if _allowed(day, days):
            instant = at_local(day, wanted, zone)
            if instant > now:
                return instant
        day += DAY
    raise AssertionError("every week has each weekday")


def next_opening(now: datetime, opens: str, closes: str, days: tuple[int, ...], zone_name: str) -> datetime:
    """`now` if it lies in the window (opening included, closing not), else the next opening.

    A window that crosses midnight belongs to the day it opens on. Equal ends are the whole day.
    """
    zone = zone_of(zone_name)
    start, end = parse_time(opens), parse_time(closes)
    local = now.astimezone(zone)
    if not days and not local.fold and _between(local, start, end):
        return now
    day = local.date() - DAY
    for _ in range(17):
        if _allowed(day, days):
            opening = at_local(day, start, zone)
            closing = at_local(day if end > start else day + DAY, end, zone)
            if opening <= now < closing:
                return now
            if opening > now:
                return opening
        day += DAY
    raise AssertionError("every week has each weekday")


def end_of_window(
    now: datetime, opens: str, closes: str, days: tuple[int, ...], zone_name: str
) -> datetime | None:
    """When the window that `now` lies in is over, windows that touch it included; None outside of any.

    Windows are those of `next_opening`. One that never ends gives an instant a week or more away.
    """
    zone = zone_of(zone_name)
    start, end = parse_time(opens), parse_time(closes)
    local = now.astimezone(zone)
    if not days and not local.fold and not _between(local, start, end):
        return None
    day = local.date() - DAY
    over: datetime | None = None
    for _ in range(10):
        if _allowed(day, days):
            closing = at_local(day if end > start else day + DAY, end, zone)
            reached = now if over is None else over
            if at_local(day, start, zone) <= reached < closing:
                over = closing
            elif over is not None or closing > now:
                break
        elif over is not None:
            break
        day += DAY
    return over


def period_of(now: datetime, period: str, zone_name: str) -> tuple[datetime, datetime]:
    """The local `hour`, `day` or `week` (from Monday) that holds `now`: when it begins, and the next one."""
    local = now.astimezone(zone_of(zone_name))
    if period == "hour":
        begun = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return now - begun, now - begun + timedelta(hours=1)
    first = local.date() - (DAY * local.weekday() if period == "week" else timedelta(0))
    following = first + (7 * DAY if period == "week" else DAY)
    zone = zone_of(zone_name)
    return at_local(first, time(0), zone), at_local(following, time(0), zone)


def month_of(now: datetime, zone_name: str) -> tuple[datetime, datetime]:
    """The local month that holds `now`: when it begins, and the next one."""
    zone = zone_of(zone_name)
    first = now.astimezone(zone).date().replace(day=1)
    following = (first + 32 * DAY).replace(day=1)
    return at_local(first, time(0), zone), at_local(following, time(0), zone)


def instant_of(value: object, zone_name: str, installation_zone: str = "UTC") -> datetime | None:
    """An instant from ISO text: a date is midnight in the zone, a date-time without offset is local there.

    Anything that is neither gives None, as null does.
    """
    if isinstance(value, datetime):
        return (
            value.astimezone(UTC)
            if value.tzinfo
            else at_local(value.date(), value.time(), zone_of(zone_name))
        )
    if isinstance(value, date):
        return at_local(value, time(0), zone_of(zone_name))
    if not isinstance(value, str):
        return None
    try:
        if len(value) == 10:
            return at_local(date.fromisoformat(value), time(0), zone_of(zone_name))
        parsed = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        return None
    try:
        if parsed.tzinfo is None:
            return at_local(parsed.date(), parsed.time(), zone_of(installation_zone))
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
