"""One verdict per message, from all rules on all its channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from engine.core.limits import ANY, Use
from engine.policy.request import (
    Closed,
    Defer,
    Finding,
    Held,
    Profile,
    Request,
    Rule,
    Send,
    Settings,
    Skip,
    Verdict,
    Why,
)
from engine.policy.rules.address import needs_address
from engine.policy.rules.best_time import at_best_time
from engine.policy.rules.blocked import not_blocked
from engine.policy.rules.capped import within_caps
from engine.policy.rules.consent import needs_consent
from engine.policy.rules.exit_seen import not_over
from engine.policy.rules.holdout import not_held_out
from engine.policy.rules.hours import within_hours
from engine.policy.rules.late import not_late
from engine.policy.rules.quiet_hours import outside_quiet_hours

RULES: Final[tuple[Rule, ...]] = (
    not_held_out,
    not_over,
    not_late,
    needs_address,
    needs_consent,
    not_blocked,
    at_best_time,
    within_caps,
    outside_quiet_hours,
    within_hours,
)
"""In the order in which their reasons win."""

FOR_ALL_CHANNELS: Final[frozenset[Rule]] = frozenset(
    {not_held_out, not_over, not_late, at_best_time, outside_quiet_hours}
)
"""They say of each channel of a message what they say of the first that they are asked about."""
NOBODY: Final = Profile()
ABOUT_NO_CHANNEL: Final = ("exit_seen", "late")
"""Reasons for which no channel was looked at."""


def decide(
    requests: Sequence[Request],
    profiles: Mapping[str, Profile],
    settings: Settings,
    rules: Sequence[Rule] = RULES,
) -> list[Verdict]:
    """One verdict per request, in order. A profile that is not given has no address and no consent.

    Of one customer's requests the most important is judged first, and what it takes counts for the others.
    """
    rules = _in_force(requests, settings, rules)
    if within_caps not in rules:
        return [
            _verdict(request, profiles.get(request.profile_id, NOBODY), settings, rules)
            for request in requests
        ]
    asked = Counter(request.profile_id for request in requests)
    order = sorted(range(len(requests)), key=lambda place: (requests[place].rank, requests[place].at, place))
    known = dict(profiles)
    verdicts: dict[int, Verdict] = {}
    for place in order:
        request = requests[place]
        profile = known.get(request.profile_id, NOBODY)
        found = verdicts[place] = _verdict(request, profile, settings, rules)
        if asked[request.profile_id] > 1 and (taken := _taken(request, found)) is not None:
            known[request.profile_id] = replace(profile, uses=(*profile.uses, taken))
    return [verdicts[place] for place in range(len(requests))]


def _in_force(requests: Sequence[Request], settings: Settings, rules: Sequence[Rule]) -> list[Rule]:
    """Less those that can say nothing of any of these messages."""
    idle: set[Rule] = set()
    if not any(request.policy.caps for request in requests):
        idle.add(within_caps)
    if all(request.policy.quiet_hours is None for request in requests):
        idle.add(outside_quiet_hours)
    if not settings.hours and not any(request.hours for request in requests):
        idle.add(within_hours)
    if not any(request.best_time for request in requests):
        idle.add(at_best_time)
    return [rule for rule in rules if rule not in idle]


def _taken(request: Request, found: Verdict) -> Use | None:
    """What this verdict leaves to the customer's other messages of the batch."""
    if isinstance(found, Send):
        return Use(request.at, found.channels[0], request.category, request.journey, request.key)
    if isinstance(found, Defer) and found.reason == "capped":
        return Use(found.until, ANY, request.category, request.journey, request.key, request.rank)
    return None


def _verdict(request: Request, profile: Profile, settings: Settings, rules: Sequence[Rule]) -> Verdict:
    opened: list[str] = []
    closed: list[tuple[str, str]] = []
    deferred: list[Defer] = []
    why: list[Why] = []
    held: Held | None = None
    for channel in request.channels:
        found = _finding(request, channel, profile, settings, rules)
        if found is None:
            if not opened:
                rules = [rule for rule in rules if rule not in FOR_ALL_CHANNELS]
            opened.append(channel)
            continue
        until = None if isinstance(found, Closed) else found.until
        why.append(Why(channel, found.reason, until, found.saw))
        if isinstance(found, Closed):
            closed.append((channel, found.reason))
        elif isinstance(found, Defer):
            deferred.append(found)
        elif opened:
            closed.append((channel, found.reason))  # the one before it goes; this one cannot follow it
        else:
            held = found
            break
    out, reasons = tuple(closed), tuple(why)
    if opened:
        before = request.channels[: request.channels.index(opened[0])]
        return Send(tuple(opened), tuple(pair for pair in out if pair[0] in before), out, why=reasons)
    # No channel now, but one later: the message waits for the earliest.
    if deferred and (held is None or held.until is None):
        first = min(deferred, key=lambda found: found.until)
        return Defer(first.until, first.reason, out, why=reasons)
    if held is None:
        return Skip(out[0][1] if out else "no_address", out, why=reasons)  # type: ignore[arg-type]
    if held.until is not None:
        return Defer(held.until, held.reason, out, why=reasons)
    if held.reason not in ABOUT_NO_CHANNEL:
        out = (*out, (reasons[-1].channel, held.reason))
    return Skip(out[0][1] if out else held.reason, out, why=reasons)  # type: ignore[arg-type]


def _finding(
    request: Request, channel: str, profile: Profile, settings: Settings, rules: Sequence[Rule]
) -> Finding:
    for rule in rules:
        found = rule(request, channel, profile, settings)
        if found is not None:
            return found
    return None
