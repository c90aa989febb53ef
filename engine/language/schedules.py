"""Schedules of campaigns, as cron writes them: `0 10 * * MON`, in one time zone.

Five fields; names of days and months are allowed. Local times that do not exist move to the first that does,
one that comes twice is the first. If both a day of the month and a day of the week are given, either is
enough, as in cron.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def is_cron(text: str) -> bool:
    """Whether it is such a schedule, and one that ever comes due."""
    if len(text.split()) != 5:
        return False
    try:
        next(CronSim(text, _ANY_DAY))
    except (CronSimError, StopIteration, ValueError, OverflowError):
        return False
    return True


def next_launch(cron: str, after: datetime, zone: ZoneInfo) -> datetime:
    """The first instant of the schedule strictly later than `after`, in UTC."""
    for local in CronSim(cron, after.astimezone(zone)):
        instant = local.astimezone(UTC)
        if instant > after:
            return instant
    raise AssertionError("a schedule comes due again and again")


def last_launch(cron: str, after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """The last instant of the schedule with `after < instant <= until`, in UTC; None if there is none."""
    if next_launch(cron, after, zone) > until:
        return None
    for local in CronSim(cron, until.astimezone(zone), reverse=True):
        instant = local.astimezone(UTC)
        following = next_launch(cron, instant, zone)
        return following if following <= until else instant
    return None
