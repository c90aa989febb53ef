"""`quiet_hours`: where the customer is, it is night. Marketing only.

What is put off goes out after the hours are over, spread over the policy's `spread` by its key, so that a
night's messages do not all leave at the same minute.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from engine.core.calendar import end_of_window
from engine.core.limits import QuietHours
from engine.policy.request import Finding, Held, Profile, Request, Settings


def outside_quiet_hours(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    hours = request.policy.quiet_hours
    if hours is None or not request.limited:
        return None
    zone = settings.zone(hours.zone, profile)
    over = end_of_window(request.at, hours.opens, hours.closes, hours.days, zone)
    if over is None:
        return None
    saw = {"from": hours.opens, "to": hours.closes, "zone": zone}
    if hours.then == "skip" or not request.may_wait(over):
        return Held("quiet_hours", saw=saw)
    if settings.spread:
        over = _spread(over, request.key, hours, zone)
    return Held("quiet_hours", over, saw)


def _spread(over: datetime, key: str, hours: QuietHours, zone: str) -> datetime:
    seconds = int(hours.spread.total_seconds())
    if seconds <= 0:
        return over
    drawn = int.from_bytes(hashlib.sha256(f"spread:{key}".encode()).digest()[:8], "big")
    later = over + timedelta(seconds=drawn % seconds)
    return over if end_of_window(later, hours.opens, hours.closes, hours.days, zone) else later
