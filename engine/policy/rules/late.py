"""`late`: a pause, an outage or long retries took it past the journey's `max_lateness`."""

from __future__ import annotations

from engine.policy.request import Finding, Held, Profile, Request, Settings


def not_late(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    return Held("late") if request.late else None
