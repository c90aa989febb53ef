"""What a message to WeCom holds: which kind it is, and how a group send is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels.errors import Rejected
from channels.message import Message
from channels.parts import json_part
from channels.receipt import Reason


def read_part(message: Message) -> tuple[str, dict[str, Any]]:
    """Which kind the part is, and the provider's document in it. Raises `Rejected`."""
    document = json_part(message, ("external_userid", "chat_type", "agentid"))
    shapes = {"welcome_code": "welcome", "msgtype": "staff"}
    kind = next((kind for name, kind in shapes.items() if name in document), "group_send")
    if document.pop("kind", kind) != kind:
        raise Rejected(Reason.CONTENT, f"the part json has the fields of a {kind}, and says another kind")
    if kind == "staff":
        sort = document["msgtype"]
        if not isinstance(sort, str) or not isinstance(document.get(sort), dict):
            raise Rejected(Reason.CONTENT, "a message to staff has msgtype and a field of that name")
        if not any(document.get(whom) for whom in ("touser", "toparty", "totag")):
            raise Rejected(Reason.CONTENT, "a message to staff names them in touser, toparty or totag")
    elif not document.get("text") and not document.get("attachments"):
        raise Rejected(Reason.CONTENT, "the part json has neither text nor attachments")
    elif kind == "welcome" and "welcome_until" in document:
        read_instant(document["welcome_until"])
    return kind, document


def provider_id(task: str, customer: str) -> str:
    """A task is one for many: with whom it goes to, told by a hash, it is one delivery's."""
    return f"{task}/{hashlib.sha256(customer.encode()).hexdigest()[:16]}"


def same(task: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    content = [(each.get("text") or None, each.get("attachments") or None) for each in (task, document)]
    sender = document.get("sender")
    return content[0] == content[1] and (sender is None or task.get("creator") == sender)


def read_instant(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Rejected(Reason.CONTENT, "welcome_until is no instant with an offset")
    return at
