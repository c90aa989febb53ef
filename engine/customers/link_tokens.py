"""Codes and tokens that lead back to us from a message, and the key that they are made with.

A token says whom and what it is about and is signed, so that a wrong one is known without asking the
database. It never expires: who finds an old message may still unsubscribe by it. Whoever has it may change
what this person consents to, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from engine.store import message_links
from engine.store.consents import EVERY_PURPOSE
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

_VERSION: Final = b"\x01"
_SIGNATURE: Final = 16
LONGEST_TOKEN: Final = 300
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class About:
    """Whose message by which channel a token came with; `purpose` is the message's."""

    profile_id: str
    channel: str
    purpose: str = EVERY_PURPOSE


class LinkKey:
    """The installation's key, read once and kept: it never changes."""

    def __init__(self) -> None:
        self._secret: bytes | None = None

    async def load(self, database: AsyncEngine) -> None:
        """Reads the key, or makes it where there is none yet."""
        if self._secret is None:
            self._secret = await in_transaction(database, message_links.secret)

    def mac(self, what: bytes, text: bytes) -> bytes:
        """HMAC-SHA256 of a text; `what` keeps uses of the one key apart. Needs `load` first."""
        if self._secret is None:
            raise RuntimeError("the key of links was not loaded")
        return hmac.digest(self._secret, what + b"\x00" + text, "sha256")

    def token(self, about: About) -> str:
        """The token for this; the same every time."""
        said = f"{about.channel}\x00{about.purpose}".encode()
        body = _VERSION + UUID(about.profile_id).bytes + said
        return _text(body + self.mac(b"token", body)[:_SIGNATURE])

    def read(self, token: str) -> About | None:
        """What a token is about; None for one that is not ours."""
        if len(token) > LONGEST_TOKEN:
            return None
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, signature = data[:-_SIGNATURE], data[-_SIGNATURE:]
        if not hmac.compare_digest(self.mac(b"token", body)[:_SIGNATURE], signature):
            return None
        if _text(data) != token or len(body) < 18 or body[:1] != _VERSION:
            return None
        channel, _, purpose = body[17:].decode().partition("\x00")
        return About(str(UUID(bytes=body[1:17])), channel, purpose)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def base62(data: bytes, length: int) -> str:
    """So many digits and letters that stand for the first bytes of `data`."""
    number = int.from_bytes(data[: length + 4])
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(digits)
