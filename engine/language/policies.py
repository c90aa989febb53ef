"""`policies` of `kairos.yaml` and `hours` of its channels: what they say, with their defaults.

Parts of the wrong shape (reported by `conform`) fall to their defaults.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, get_args

from engine.core.limits import (
    BestTime,
    Budget,
    Cap,
    Hours,
    Opening,
    Per,
    Period,
    Policy,
    QuietHours,
    Quota,
)
from engine.core.plan import Category
from engine.language.scalars import DAYS, is_window_time, read_length

PERIODS: Final[tuple[Period, ...]] = get_args(Period)
PER: Final[tuple[Per, ...]] = get_args(Per)
ON_CAPPED: Final = ("skip", "defer", "next_channel")
_CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
_USUAL: Final = Policy()


def read_policy(value: Any) -> Policy:
    """A named policy."""
    entry = _table(value)
    on_capped = entry.get("on_capped")
    listed = entry.get("caps")
    caps = [_cap(_table(each)) for each in (listed if isinstance(listed, list) else ())]
    return Policy(
        caps=tuple(cap for cap in caps if cap is not None),
        on_capped=on_capped if on_capped in ("defer", "next_channel") else "skip",
        max_defer=_length(entry.get("max_defer"), _USUAL.max_defer),
        quiet_hours=_quiet_hours(_table(entry.get("quiet_hours"))),
        best_time=_best_time(_table(entry.get("best_time"))),
    )


def read_hours(value: Any) -> Hours | None:
    """When marketing may leave by a channel; None for what says nothing."""
    entry = _table(value)
    opens, closes = entry.get("from"), entry.get("to")
    if not (isinstance(opens, str) and isinstance(closes, str)):
        return None
    return Hours(opens, closes, _days(entry), _zone(entry))


def read_budget(value: Any) -> Budget | None:
    """What a channel may use in all; None for no limit."""
    entry = _table(value)
    most, segments = entry.get("messages"), entry.get("segments")
    allowed = segments if most is None else most
    if not isinstance(allowed, int):
        return None
    then, within = entry.get("then"), entry.get("within")
    return Budget(
        allowed,
        segments=most is None,
        within=within if within in PERIODS else "day",
        then=then if then in ("defer", "next_channel") else "skip",
    )


def read_quotas(value: Any) -> dict[str, Quota]:
    """What is said of a provider's quotas, by kind of message."""
    return {name: _quota(_table(entry)) for name, entry in _table(value).items()}


def _quota(entry: dict[str, Any]) -> Quota:
    listed = entry.get("opened_by")
    openings = []
    for each in map(_table, listed if isinstance(listed, list) else ()):
        event, most, lasts = each.get("event"), each.get("most"), each.get("for")
        if isinstance(event, str) and isinstance(most, int):
            openings.append(Opening(event, most, read_length(lasts) if isinstance(lasts, str) else None))
    monthly = entry.get("monthly")
    return Quota(tuple(openings), monthly=monthly if isinstance(monthly, int) else None)


def _best_time(entry: dict[str, Any]) -> BestTime:
    usual = BestTime()
    opens, closes = entry.get("from"), entry.get("to")
    begins = int(opens[:2]) if isinstance(opens, str) and is_window_time(opens) else usual.opens
    ends = -(-_minutes(closes) // 60) if isinstance(closes, str) and is_window_time(closes) else usual.closes
    return BestTime(begins, ends) if begins < ends else usual


def _minutes(text: str) -> int:
    hours, minutes, *_ = (int(part) for part in text.split(":"))
    return 60 * hours + minutes


def _cap(entry: dict[str, Any]) -> Cap | None:
    most, calendar = entry.get("most"), entry.get("calendar")
    within = read_length(entry["within"]) if isinstance(entry.get("within"), str) else None
    if not isinstance(most, int) or (within is None and calendar not in PERIODS):
        return None
    per, category, channel = entry.get("per"), entry.get("category"), entry.get("channel")
    return Cap(
        most=most,
        within=within,
        calendar=calendar if calendar in PERIODS and within is None else None,
        per=per if per in PER else "person",
        category=category if category in _CATEGORIES else None,
        channel=channel if isinstance(channel, str) else None,
    )


def _quiet_hours(entry: dict[str, Any]) -> QuietHours | None:
    opens, closes = entry.get("from"), entry.get("to")
    if not (isinstance(opens, str) and isinstance(closes, str)):
        return None
    return QuietHours(
        opens,
        closes,
        "skip" if entry.get("then") == "skip" else "defer",
        _days(entry),
        _zone(entry),
        _length(entry.get("spread"), QuietHours(opens, closes).spread),
    )


def _days(entry: dict[str, Any]) -> tuple[int, ...]:
    listed = entry.get("days")
    return tuple(DAYS[day] for day in listed if day in DAYS) if isinstance(listed, list) else ()


def _zone(entry: dict[str, Any]) -> str:
    zone = entry.get("zone")
    return zone if isinstance(zone, str) else "profile"


def _length(value: Any, default: timedelta) -> timedelta:
    length = read_length(value) if isinstance(value, str) else None
    return default if length is None else length


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
