"""How consents are said in scenarios and by clients: a channel, perhaps with a purpose behind a colon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

EVERY = "*"
"""Every channel, or every purpose."""


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody said about one channel and purpose. `about`: what else was said with it."""

    channel: str
    purpose: str
    granted: bool
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.channel if self.purpose == EVERY else f"{self.channel}:{self.purpose}"


def named(word: str) -> tuple[str, str]:
    """Channel and purpose: `sms`, `sms:newsletter`; `marketing` speaks for every channel."""
    channel, colon, purpose = word.partition(":")
    return EVERY if channel == "marketing" else channel, purpose if colon else EVERY


def read(said: Any) -> Iterator[Word]:
    """The words of a list of channels granted, or of channel to an answer; all else is passed over.

    An answer is true, false, or a mapping with `granted`, and `purpose` and more where that was said. Such a
    mapping may also stand in the list, with its `channel`.
    """
    answers: list[tuple[Any, Any]] = []
    if isinstance(said, Mapping):
        answers = list(said.items())
    elif isinstance(said, list | tuple):
        answers = [(e.get("channel"), e) if isinstance(e, Mapping) else (e, True) for e in said]
    for word, answer in answers:
        about: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {"granted": answer}
        granted, stated = about.get("granted"), about.get("purpose")
        if not isinstance(word, str) or not isinstance(granted, bool):
            continue
        channel, purpose = named(word)
        if isinstance(stated, str) and stated:
            purpose = stated
        if channel and purpose:
            yield Word(channel, purpose, granted, about)
