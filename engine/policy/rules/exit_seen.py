"""`exit_seen`: a goal or exit has come that the enrolment has not taken yet."""

from __future__ import annotations

from engine.policy.request import Finding, Held, Profile, Request, Settings


def not_over(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    return Held("exit_seen") if request.over else None
