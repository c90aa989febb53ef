"""`capped`: the customer has had as many messages as the policy's caps allow.

Rolling: no stretch of `within` holds more than `most`. A place is free again `within` after the message that
took it. Calendar: no local hour, day or week of the customer's does. A message that waits for a place, of a
more important journey, counts as gone out at the instant it waits for: the last place is left to it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from engine.core.calendar import period_of
from engine.core.limits import ANY, Cap, Use
from engine.policy.request import Closed, Held, Profile, Request, Settings

NEVER: Final = datetime.max.replace(tzinfo=UTC)


def within_caps(request: Request, channel: str, profile: Profile, settings: Settings) -> Closed | Held | None:
    caps = request.policy.caps
    if not caps or request.repeat:
        return None
    free_at: datetime | None = None
    binding: Cap | None = None
    for cap in caps:
        if not _is_about(cap, request, channel):
            continue
        until = _full_until(cap, request, channel, profile)
        if until is not None and (free_at is None or until > free_at):
            free_at, binding = until, cap
    if free_at is None or binding is None:
        return None
    saw = _saw(binding, request, channel, profile, free_at)
    policy = request.policy
    if policy.on_capped == "next_channel":
        return Closed("capped", saw)
    if policy.on_capped == "defer" and request.may_wait(free_at, policy.max_defer):
        return Held("capped", free_at, saw)
    return Held("capped", saw=saw)


def _is_about(cap: Cap, request: Request, channel: str) -> bool:
    return request.category == (cap.category or "marketing") and cap.channel in (None, channel)


def _counted(cap: Cap, request: Request, channel: str, profile: Profile) -> list[Use]:
    """What takes a place of this cap. What went out by another hand a little later counts too."""
    if cap.calendar is not None:
        begins, before = period_of(request.at, cap.calendar, profile.time_zone)
        after = begins - timedelta(microseconds=1)
    else:
        within = cap.within or timedelta(0)
        after, before = request.at - within, request.at + within
    found = [use for use in profile.uses if after < use.at < before]
    if not found:
        return found
    category, key, rank = cap.category or "marketing", request.key, request.rank
    wanted = cap.channel or (channel if cap.per == "channel" else None)
    journey = request.journey if cap.per == "journey" else None
    return [
        use
        for use in found
        if use.category == category
        and (wanted is None or use.channel in (wanted, ANY))
        and (journey is None or use.journey == journey)
        and (use.waits_as is None or use.waits_as < rank)
        and not (key and use.key == key)
    ]


def _full_until(cap: Cap, request: Request, channel: str, profile: Profile) -> datetime | None:
    """When a place is free again, if none is; `NEVER` if there never is one."""
    if cap.most == 0:
        return NEVER
    taken = _counted(cap, request, channel, profile)
    if len(taken) < cap.most:
        return None
    if cap.calendar is not None:
        return period_of(request.at, cap.calendar, profile.time_zone)[1]
    instants = sorted(use.at for use in taken)
    return instants[len(instants) - cap.most] + (cap.within or timedelta(0))


def _saw(cap: Cap, request: Request, channel: str, profile: Profile, free_at: datetime) -> dict[str, object]:
    sent = _counted(cap, request, channel, profile)
    saw: dict[str, object] = {"per": cap.per, "category": cap.category or "marketing", "most": cap.most}
    if cap.channel is not None:
        saw["channel"] = cap.channel
    saw["within"] = cap.calendar or (cap.within or timedelta(0)).total_seconds()
    saw["sent"] = sum(use.waits_as is None for use in sent)
    if waiting := sorted({use.journey for use in sent if use.waits_as is not None}):
        saw["left_to"] = waiting
    if free_at != NEVER:
        saw["free_at"] = free_at.isoformat()
    return saw
