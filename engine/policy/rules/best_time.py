"""`best_time`: a message with `send_at: best_time` waits for the hour at which its receiver looks most.

An hour of the day counts as many as the customer's opens and clicks in it, and `PRIOR` more that are spread
as those of everybody are: who has done little is written to when the others look. It only ever puts off.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Final

from engine.core.calendar import DAY, at_local, zone_of
from engine.core.limits import BestTime
from engine.policy.request import Finding, Held, Profile, Request, Settings

PRIOR: Final = 8.0
"""How many opens and clicks of everybody stand beside the customer's own."""
USUAL: Final = 10
"""The hour where nobody has ever looked at anything."""
LONGEST: Final = timedelta(hours=36)


def at_best_time(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    if not request.best_time or request.repeat:
        return None
    hour = best_hour(profile.looks, settings.looks, request.policy.best_time)
    zone = zone_of(profile.time_zone)
    local = request.at.astimezone(zone)
    if local.hour == hour:
        return None
    until = at_local(local.date(), time(hour), zone)
    if until <= request.at:
        until = at_local(local.date() + DAY, time(hour), zone)
    if not request.may_wait(until, LONGEST):
        return None
    own = profile.looks[hour] if profile.looks else 0
    return Held("best_time", until, {"hour": hour, "zone": profile.time_zone, "own": own})


def best_hour(own: Sequence[int], base: Sequence[int], window: BestTime) -> int:
    """The hour of the window with most opens and clicks, smoothed; of several the earliest.

    `own` and `base` count by local hour, 24 each; empty where there are none.
    """
    whole = sum(base)
    hours = range(window.opens, window.closes)
    scores = {
        hour: (own[hour] if own else 0) + (PRIOR * base[hour] / whole if whole else 0.0) for hour in hours
    }
    if not any(scores.values()):
        return USUAL if USUAL in hours else window.opens
    return max(hours, key=lambda hour: (scores[hour], -hour))


def looks_by_hour(instants: Sequence[datetime], zone_name: str) -> tuple[int, ...]:
    """Opens and clicks counted by the hour of the day at which they happened there."""
    zone = zone_of(zone_name)
    counts = [0] * 24
    for instant in instants:
        counts[instant.astimezone(zone).hour] += 1
    return tuple(counts)
