"""A provider's own error codes, read by a table: one line a code, in our vocabulary.

    CODES = {
        "isv.MOBILE_NUMBER_ILLEGAL": refused(Reason.ADDRESS_INVALID, permanent=True),
        "Throttling": later(60),                       # and every "Throttling.…"
    }
    raise told(CODES, answer, code) or Rejected(Reason.OTHER, …)

A code that the table does not name is looked up without its last dotted part, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import Answer, failure, retry_after
from channels.receipt import Reason

Trouble = Rejected | Throttled | Unavailable | Unknown

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,79}|-?[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one code says."""

    kind: Literal["refused", "later", "down", "perhaps"]
    reason: Reason = Reason.OTHER
    permanent: bool = False
    opt_out: bool = False
    pause: timedelta | None = None

    def outcome(self, detail: str, raw: str | None, pause: timedelta | None = None) -> Trouble:
        """The outcome. `pause` is what this answer asked for; without it the code's own counts."""
        match self.kind:
            case "refused":
                return Rejected(self.reason, detail, self.permanent, self.opt_out, raw)
            case "later":
                return Throttled(pause or self.pause, detail, raw)
            case "down":
                return Unavailable(detail, pause or self.pause, raw)
            case "perhaps":
                return Unknown(detail, raw)


def refused(reason: Reason, *, permanent: bool = False, opt_out: bool = False) -> Meaning:
    return Meaning("refused", reason, permanent, opt_out)


def later(seconds: float) -> Meaning:
    """Asked for a pause, of this length where the answer names none."""
    return Meaning("later", pause=timedelta(seconds=seconds))


DOWN = Meaning("down")
"""It says that it took nothing."""
PERHAPS = Meaning("perhaps")
"""It says itself that it does not know whether the message went on."""


def meaning(codes: Mapping[str, Meaning], code: str) -> Meaning | None:
    """What the table says of a code, or of the family that it belongs to."""
    while code:
        if code in codes:
            return codes[code]
        code = code.rpartition(".")[0]
    return None


def word(code: object) -> str:
    """A provider's code as it may be logged: empty for what does not look like a code."""
    text = str(code) if isinstance(code, str | int) and not isinstance(code, bool) else ""
    return text if _WORD.fullmatch(text) else ""


def told(codes: Mapping[str, Meaning], answer: Answer, code: object) -> Trouble | None:
    """What this answer says: by its code if the table has it, else by its status; None for any other 2xx."""
    named = word(code)
    found = meaning(codes, named)
    if found is None:
        return failure(answer)
    pause = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
    return found.outcome(f"HTTP {answer.status} {named}", answer.raw, pause)
