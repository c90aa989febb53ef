"""What adapters for SMS share: numbers, the words that mean stop, and approved templates.

Mainland providers send no free text: a text is registered and approved, with variables in it, and a send
names the template's code and the values. Here the settings name each approved text by its code,

    templates: {SMS_154950909: "Your cart with {item} waits until {day}. 拒收请回复R"}

and the code and the values are found by fitting the rendered message into them. So what a marketer writes,
previews and tests is what arrives, and a text that nobody approved is refused before it is sent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from channels.errors import Rejected
from channels.limits import Hours
from channels.message import Message
from channels.receipt import Reason

STOP_WORDS = frozenset({"R", "T", "TD", "N", "0000", "退订", "TD退订", "T退订"})
"""What people answer to be left alone, after `folded`."""

MAINLAND_HOURS = Hours("08:00", "22:00", "Asia/Shanghai")
"""Outside of them mainland providers refuse marketing (Tencent: `MarketingSendTimeConstraint`)."""

BEIJING = timezone(timedelta(hours=8))
"""The hours of mainland providers; their times do not say so."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_VARIABLE = re.compile(r"\{([A-Za-z0-9_]+)\}")


def number(address: str) -> str:
    """The address, if it is a number as E.164. Raises `Rejected`."""
    if not _E164.fullmatch(address):
        raise Rejected(Reason.ADDRESS_INVALID, "not a number with its country code", permanent=True)
    return address


def e164(text: str, country: str = "86") -> str | None:
    """A provider's spelling (`13800138000`, `8613800138000`, `+86…`) as E.164; None if it is no number."""
    digits = text.strip().removeprefix("00")
    if not digits.startswith("+"):
        mainland = country == "86" and len(digits) == 11 and digits.startswith("1")
        digits = f"+{country}{digits}" if mainland or country != "86" else f"+{digits}"
    return digits if _E164.fullmatch(digits) else None


def beijing(text: object) -> datetime | None:
    """`2026-11-11 10:00:00` in a provider's words; None if it is no time."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        return None


def folded(text: str) -> str:
    """Without spaces and closing marks, full width as half width, in capitals."""
    return "".join(unicodedata.normalize("NFKC", text).split()).strip(".。!,;、\"'").upper()


def means_stop(text: str, words: Collection[str] = STOP_WORDS) -> bool:
    """Whether somebody who writes this wants no more messages. Only the word alone counts."""
    return folded(text) in words


def words_of(message: Message) -> str:
    """The part `text`. Raises `Rejected` without one."""
    text = message.parts.get("text", "").strip()
    if not text:
        raise Rejected(Reason.CONTENT, "an SMS needs the part text")
    return text


@dataclass(frozen=True, slots=True)
class Approved:
    """One approved text: what stands between its variables, and their names."""

    code: str
    literals: tuple[str, ...]
    """One more than there are variables; the first and the last may be empty."""
    names: tuple[str, ...]

    @classmethod
    def read(cls, code: str, text: str) -> Approved:
        """`text` has its variables in braces, `{name}` or `{1}`."""
        pieces = _VARIABLE.split(text.strip())
        return cls(code, tuple(pieces[::2]), tuple(pieces[1::2]))

    def fit(self, text: str) -> dict[str, str] | None:
        """The variables' values that make this text; None if none do.

        Where several would, each variable is as short as it can be: the text that arrives is the same.
        """
        first, *between = self.literals
        if not text.startswith(first):
            return None
        if not between:
            return {} if text == first else None
        *inner, last = between
        at, end = len(first), len(text) - len(last)
        values = []
        for literal in inner:
            found = text.find(literal, at, end)
            if found < 0:
                return None
            values.append(text[at:found])
            at = found + len(literal)
        if at > end or not text.endswith(last):
            return None
        values.append(text[at:end])
        made = dict(zip(self.names, values, strict=True))
        # A variable that comes twice holds one value.
        again = all(made[name] == value for name, value in zip(self.names, values, strict=True))
        return made if again else None


class Templates:
    """The approved texts of one channel; the most definite one that fits is used."""

    def __init__(self, texts: Mapping[str, str], sign_name: str) -> None:
        approved = (Approved.read(code, text) for code, text in texts.items())
        self._approved = sorted(approved, key=lambda each: -sum(map(len, each.literals)))
        self._signature = f"【{sign_name}】"

    def fit(self, text: str) -> tuple[str, dict[str, str]]:
        """Code and values for a text, which may begin with the signature: the provider puts it there.

        Raises `Rejected` if it fits none.
        """
        text = text.removeprefix(self._signature)
        for each in self._approved:
            values = each.fit(text)
            if values is not None:
                return each.code, values
        raise Rejected(Reason.CREDENTIALS, "the text fits no approved template of the settings")


def check_templates(texts: Mapping[str, str], *, numbered: bool = False) -> Mapping[str, str]:
    """Raise ValueError for a template that cannot be one. `numbered`: its variables are `{1}`, `{2}`, …"""
    for code, text in texts.items():
        if not code.strip() or not text.strip():
            raise ValueError("expected the provider's code and the approved text of each template")
        if "}{" in text:
            raise ValueError("expected words between two variables: without any nobody can tell them apart")
        names = set(_VARIABLE.findall(text))
        if numbered and names != {str(n + 1) for n in range(len(names))}:
            raise ValueError("expected variables that are numbered from {1} on")
    return texts


def in_order(values: Mapping[str, str]) -> Iterable[str]:
    """Values of variables named by their number: `{1}`, `{2}`, …"""
    return (values[name] for name in sorted(values, key=int))
