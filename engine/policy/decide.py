"""One verdict per message, from all rules on all its channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine.policy.request import (
    Closed,
    Defer,
    Finding,
    Profile,
    Request,
    Rule,
    Send,
    Settings,
    Skip,
    Verdict,
)
from engine.policy.rules.address import needs_address
from engine.policy.rules.blocked import not_blocked
from engine.policy.rules.consent import needs_consent
from engine.policy.rules.holdout import not_held_out

RULES: Final[tuple[Rule, ...]] = (not_held_out, needs_address, needs_consent, not_blocked)
"""In the order in which their reasons win."""

NOBODY: Final = Profile()


def decide(
    requests: Sequence[Request],
    profiles: Mapping[str, Profile],
    settings: Settings,
    rules: Sequence[Rule] = RULES,
) -> list[Verdict]:
    """One verdict per request, in order. A profile that is not given has no address and no consent."""
    return [
        _verdict(request, profiles.get(request.profile_id, NOBODY), settings, rules) for request in requests
    ]


def _verdict(request: Request, profile: Profile, settings: Settings, rules: Sequence[Rule]) -> Verdict:
    findings = [
        (channel, _finding(request, channel, profile, settings, rules)) for channel in request.channels
    ]
    closed = tuple((channel, found.reason) for channel, found in findings if isinstance(found, Closed))
    opened = tuple(channel for channel, found in findings if found is None)
    if opened:
        before = request.channels[: request.channels.index(opened[0])]
        return Send(opened, tuple(pair for pair in closed if pair[0] in before), closed)
    # No channel now, but one later: the message waits for the earliest.
    deferred = [found for _, found in findings if isinstance(found, Defer)]
    if deferred:
        first = min(deferred, key=lambda found: found.until)
        return Defer(first.until, first.reason, closed)
    return Skip(closed[0][1] if closed else "no_address", closed)


def _finding(
    request: Request, channel: str, profile: Profile, settings: Settings, rules: Sequence[Rule]
) -> Finding:
    for rule in rules:
        found = rule(request, channel, profile, settings)
        if found is not None:
            return found
    return None
