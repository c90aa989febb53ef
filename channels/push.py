"""What adapters for app push share: the two parts, and a name under which a repeat replaces the first."""

from __future__ import annotations

import hashlib

from channels.errors import Rejected
from channels.message import Message
from channels.receipt import Reason

COLLAPSE_LIMIT = 64


def title_and_body(message: Message) -> tuple[str, str]:
    """The parts. Raises `Rejected` without a body; the title may be empty."""
    body = message.parts.get("body", "").strip()
    if not body:
        raise Rejected(Reason.CONTENT, "a push message needs the part body")
    return message.parts.get("title", "").strip(), body


def collapse_id(key: str) -> str:
    """At most 64 bytes that are the same for every attempt at this delivery, and for no other.

    Devices show one notification a name: one that came twice is seen once, though the phone may ring twice.
    """
    return key if len(key) <= COLLAPSE_LIMIT else hashlib.sha256(key.encode()).hexdigest()
