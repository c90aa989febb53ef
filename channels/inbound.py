"""What providers call us with: receipts, and what people do on their side.

An adapter reads one call with `Adapter.hear`: it verifies first, and raises `Forged` for what is not the
provider's. Whoever asks it writes what was heard before the reply goes out; nothing else is done meanwhile,
since providers wait for a second at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from channels.receipt import Receipt


class Forged(Exception):
    """A call that the provider did not make: no signature, a wrong one, or one that is too old."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to us. Header names in lower case. `at` is the wall instant at which it came."""

    method: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class Reply:
    """What the provider wants to hear."""

    status: int = 200
    body: bytes = b""
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Inbound:
    """Something that a person did at the provider, as an event of the catalogue: `wechat.followed`.

    `identities` are who did it, by kind as in `kairos.yaml`, the most telling first. `message_id` is the
    same whenever the provider tells of it again. `opt_out`: they want no more of this channel.
    """

    name: str
    at: datetime
    message_id: str
    identities: tuple[tuple[str, str], ...] = field(repr=False)
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    opt_out: bool = False

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"instant without a time zone: {self.at!r}")
        if not self.identities:
            raise ValueError("an inbound event names somebody")


@dataclass(frozen=True, slots=True)
class Heard:
    """What one call told us, and the reply to it."""

    reply: Reply = Reply()
    receipts: tuple[Receipt, ...] = ()
    inbound: tuple[Inbound, ...] = ()
