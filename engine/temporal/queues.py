"""Task queues: one for enrolments, one for each channel's sends."""

from __future__ import annotations

JOURNEYS = "kairos-journeys"
WORKFLOW = "Enrolment"
SIGNAL = "event"
SEND, PERFORM, ASK, CLOSE, CATCH_UP = "send", "perform", "ask", "close", "catch_up"


def channel_queue(channel: str) -> str:
    return f"kairos-send-{channel}"
