"""The parts of a message as adapters read them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from channels.errors import Rejected
from channels.message import Message
from channels.receipt import Reason


def json_part(message: Message, ours: Collection[str]) -> dict[str, Any]:
    """The message's `json` part. Raises `Rejected` if it is no object or has a field that is ours to set."""
    if (part := message.parts.get("json")) is None:
        raise Rejected(Reason.CONTENT, "the part json is missing")
    try:
        document = json.loads(part)
        json.dumps(
            document, ensure_ascii=False, allow_nan=False
        ).encode()  # what Python reads, not all is JSON
    except (ValueError, RecursionError):
        raise Rejected(Reason.CONTENT, "the part json is not JSON") from None
    if not isinstance(document, dict):
        raise Rejected(Reason.CONTENT, "the part json is not an object")
    if taken := sorted(set(ours) & document.keys()):
        raise Rejected(Reason.CONTENT, f"the part json sets {', '.join(taken)}, which the adapter does")
    return document
