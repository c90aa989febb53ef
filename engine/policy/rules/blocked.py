"""`blocked`: the address is dead, or its provider refuses us there."""

from __future__ import annotations

from engine.policy.request import Closed, Finding, Profile, Request, Settings


def not_blocked(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    return Closed("blocked") if channel in profile.blocked else None
