"""Lengths of time as authors write them: `45s 90m 1h 2d 1d12h 2w`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_SHAPE = re.compile(
    r"(?:([0-9]{1,9})w)?(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?"
)
LONGEST = timedelta(days=36_500)
"""A hundred years: longer is a slip of the pen, and instants must stay inside the calendar."""


def parse_length(text: str) -> timedelta | None:
    """The length that `text` says, or None where it is malformed or longer than a hundred years.

    Units fall from weeks to seconds, each at most once, whole numbers without sign or space; `0s` too.
    """
    match = _SHAPE.fullmatch(text) if text else None
    if match is None:
        return None
    length = timedelta(0)
    for unit, digits in zip(_UNITS.values(), match.groups(), strict=True):
        if digits is not None:
            if int(digits) * unit.total_seconds() > LONGEST.total_seconds():
                return None
            length += int(digits) * unit
    return length if length <= LONGEST else None


def format_length(length: timedelta) -> str:
    """The canonical text of a length that is not negative: `90m` comes back as `1h30m`, weeks as days."""
    seconds = int(length.total_seconds())
    text = ""
    for name, unit in list(_UNITS.items())[1:]:
        amount, seconds = divmod(seconds, int(unit.total_seconds()))
        if amount:
            text += f"{amount}{name}"
    return text or "0s"
