"""Task queues: one for enrolments, one for each channel's sends."""

from __future__ import annotations

JOURNEYS = "kairos-journeys"
WORKFLOW = "Enrolment"
SIGNAL = "event"
SEND, PERFORM, ASK, CLOSE = "send", "perform", "ask", "close"


def channel_queue(channel: str) -> str:
    return f"kairos-send-{channel}"
