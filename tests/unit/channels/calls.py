"""Messages and provider's calls for tests of adapters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from channels import Call, Message

NOW = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)


def message(n: int = 0, **changes: Any) -> Message:
    values: dict[str, Any] = {
        "key": f"key-{n}",
        "channel": "sms",
        "address": f"+861380000{n:04}",
        "parts": {},
        "template": "greeting",
        "at": NOW,
    }
    return Message(**{**values, **changes})


def call(
    body: bytes,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    at: datetime = NOW,
) -> Call:
    return Call("POST", query or {}, headers or {}, body, at)
