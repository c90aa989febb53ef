"""The closed vocabularies: what a provider can say at once, and what it can say later.

A provider's own word is always mapped to one of these, and always kept beside it as `raw`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """Why a message was refused for good."""

    ADDRESS_INVALID = "address_invalid"
    """The address cannot be one: malformed, wrong kind, not a number."""
    ADDRESS_UNKNOWN = "address_unknown"
    """Well formed, but nobody lives there (SMTP 5.1.1, HTTP 410, an unfollowed account)."""
    MAILBOX_FULL = "mailbox_full"
    """The address is good and can take nothing now (SMTP 5.2.2)."""
    OPTED_OUT = "opted_out"
    """The person told the provider to stop us."""
    BLOCKED = "blocked"
    """The receiving side refuses us or this person: block list, spam verdict, closed account."""
    CONTENT = "content"
    """The message itself: a missing or malformed part, a field rule, a forbidden word."""
    TOO_LARGE = "too_large"
    """Over the provider's size limit."""
    WINDOW = "window"
    """The provider no longer lets us write to this person (a reply window closed, a grant used up)."""
    QUOTA = "quota"
    """Our allowance for this person or account is used up for long."""
    CREDENTIALS = "credentials"
    """The provider does not accept our key, signature, sender or template. An operator must act."""
    OTHER = "other"
    """None of these; see `raw`."""


class DeliveryState(StrEnum):
    """What became of a message after it was accepted, as receipts tell it."""

    ACCEPTED = "accepted"
    """The provider took it. Says nothing about arrival."""
    DELIVERED = "delivered"
    """It reached the device or mailbox."""
    DEFERRED = "deferred"
    """The provider is still trying."""
    OPENED = "opened"
    """Shown, or its picture fetched: mail proxies do that too, so never decide by it."""
    CLICKED = "clicked"
    """A link was followed."""
    REPLIED = "replied"
    """The person wrote back."""
    BOUNCED = "bounced"
    """It came back after acceptance."""
    COMPLAINED = "complained"
    """Marked as spam. Counts as a withdrawal of consent."""
    UNSUBSCRIBED = "unsubscribed"
    """The person used the provider's own way out."""
    FAILED = "failed"
    """The provider gave up for another reason."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message. `provider_id` is its name for it, which later receipts quote."""

    provider_id: str | None = None
    raw: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"accepted as {self.provider_id}" if self.provider_id else "accepted"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One later word of a provider about one message. At least one of `key`, `provider_id` is known."""

    state: DeliveryState
    at: datetime
    key: str | None = None
    provider_id: str | None = None
    reason: Reason | None = None
    permanent: bool = False
    """With `bounced`: the address is dead for later messages too."""
    link: str | None = field(default=None, repr=False)
    raw: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"instant without a time zone: {self.at!r}")
        if self.key is None and self.provider_id is None:
            raise ValueError("a receipt names its message by `key` or `provider_id`")
