"""A message: rendered for one profile and one channel, ready to hand to a provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Brand:
    """The sender as people know it: `brand` of `kairos.yaml`."""

    name: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that an e-mail carries. `content_id`: a picture that its HTML shows as `cid:…`."""

    name: str
    content_type: str
    content: bytes = field(repr=False)
    content_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One rendered message. Its repr shows ids only: address, content and links are personal.

    `key` is the idempotency key: the same for every attempt at the same delivery, 1 to 255 visible ASCII
    characters, because providers want it in headers. `parts` are the rendered parts of the channel
    (`subject`, `text`, `html`, `json`, …). `at` is the logical instant of sending. `unsubscribe_url` is an
    https address that withdraws consent by POST (RFC 8058).
    """

    key: str
    channel: str
    address: str = field(repr=False)
    parts: Mapping[str, str] = field(repr=False)
    template: str
    at: datetime
    category: str = "marketing"
    brand: Brand = Brand()
    journey: str | None = None
    enrolment_id: str | None = None
    step: str | None = None
    unsubscribe_url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers where the channel has any, such as `List-Id`."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)
    """For e-mail; other channels have none."""

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError("a message's key is 1 to 255 visible ASCII characters")
        if self.at.tzinfo is None:
            raise ValueError(f"instant without a time zone: {self.at!r}")
