"""`holdout`: enrolled and measured, sent nothing. The core skips such steps; this is the second lock."""

from __future__ import annotations

from engine.policy.request import Closed, Finding, Profile, Request, Settings


def not_held_out(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    return Closed("holdout") if request.holdout else None
