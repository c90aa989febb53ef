"""What the pages show of a kept message: each as its channel would."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from engine.store.outbox import OutboxMessage

Look = Literal["email", "sms", "push", "json", "other"]
_LOOKS: Final[dict[str, Look]] = {"email": "email", "sms": "sms", "push": "push"}


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message to show. `rest` are parts that the look has no place for."""

    id: int
    look: Look
    channel: str
    address: str = field(repr=False)
    template: str | None
    step: str | None
    enrolment_id: str | None
    at: datetime | None
    parts: dict[str, str] = field(repr=False)
    rest: dict[str, str] = field(repr=False)


_SHOWN: Final[dict[Look, tuple[str, ...]]] = {
    "email": ("subject", "html", "text"),
    "sms": ("text",),
    "push": ("title", "body"),
    "json": ("json",),
    "other": (),
}


def view_of(message: OutboxMessage) -> MessageView:
    """The message as its channel would show it."""
    look = _LOOKS.get(message.channel, "json" if "json" in message.parts else "other")
    parts = dict(message.parts)
    if look == "json":
        parts["json"] = indented(parts["json"])
    return MessageView(
        id=message.id or 0,
        look=look,
        channel=message.channel,
        address=message.address,
        template=message.template,
        step=message.step,
        enrolment_id=message.enrolment_id,
        at=message.at or message.created_at,
        parts=parts,
        rest={name: text for name, text in parts.items() if name not in _SHOWN[look]},
    )


def indented(text: str) -> str:
    """JSON text with one member a line; anything else as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text
