"""`no_address`: nothing is known that this channel could send to."""

from __future__ import annotations

from engine.policy.request import Closed, Finding, Profile, Request, Settings


def needs_address(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    return None if profile.addresses.get(channel) else Closed("no_address")
