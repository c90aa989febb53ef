"""What one rendered message takes from its channel's budget."""

from __future__ import annotations

from collections.abc import Mapping

from engine.content.sms import sms_segments
from engine.core.limits import Budget


def units(budget: Budget, parts: Mapping[str, str], address: str) -> int:
    """One, or the segments of its text, counted as carriers where the number is count them."""
    if not budget.segments:
        return 1
    return max(1, sms_segments(parts.get("text", ""), mainland=address.startswith("+86")).count)
