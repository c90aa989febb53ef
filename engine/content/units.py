"""What one rendered message takes from its channel's budget."""

from __future__ import annotations

from collections.abc import Mapping

from engine.content.sms import sms_segments
from engine.core.limits import Budget


def units(budget: Budget, parts: Mapping[str, str], address: str, signature: str = "") -> int:
    """One, or the segments of its text, counted as carriers where the number is count them.

    `signature` is what the provider puts before texts to the mainland; it counts there.
    """
    if not budget.segments:
        return 1
    text, mainland = parts.get("text", ""), address.startswith("+86")
    if mainland and not text.startswith(signature):
        text = signature + text
    return max(1, sms_segments(text, mainland).count)
