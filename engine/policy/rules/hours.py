"""`window`: outside the hours at which marketing may leave by this channel. Other channels may be open."""

from __future__ import annotations

from engine.core.calendar import next_opening
from engine.policy.request import Closed, Defer, Finding, Profile, Request, Settings


def within_hours(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    hours = settings.hours.get(channel) or request.hours.get(channel)
    if hours is None or not request.limited:
        return None
    zone = settings.zone(hours.zone, profile)
    opening = next_opening(request.at, hours.opens, hours.closes, hours.days, zone)
    if opening <= request.at:
        return None
    saw = {"from": hours.opens, "to": hours.closes, "zone": zone}
    if not request.may_wait(opening):
        return Closed("window", saw)
    return Defer(opening, "window", saw=saw)
