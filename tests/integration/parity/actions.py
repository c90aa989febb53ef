"""The actions that generated journeys use, written as a project's `actions/` folder would hold them: an
exported case takes this file along."""

from __future__ import annotations

from engine.sdk import Refused, action


@action
def approve(n: float | None = None) -> dict[str, bool]:
    """Answers as the sink of the tests does."""
    return {"ok": True}


@action
def decline(n: float | None = None) -> None:
    """Fails for good."""
    raise Refused("not today")
