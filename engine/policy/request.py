"""What the rules are asked, what they look at, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Literal

from engine.core.inputs import SkipReason
from engine.core.plan import Category
from engine.core.values import dataclass

ConsentRule = Literal["opt_in", "opt_out", "not_needed"]


@dataclass(slots=True)
class Request:
    """May this message go out, and by which of `channels` (in the author's order)?"""

    profile_id: str
    channels: tuple[str, ...]
    category: Category
    at: datetime
    holdout: bool = False
    purpose: str | None = None


@dataclass(slots=True)
class Profile:
    """What the rules may know of one customer."""

    addresses: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Address by channel, for each channel that can reach this customer."""
    consents: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """Latest word by (channel, category); no key means that there is no record."""
    blocked: frozenset[str] = frozenset()
    """Channels whose address is known to be dead or refused."""
    purposes: Mapping[tuple[str, str, str], bool] = field(default_factory=dict)
    """Latest word that counts for (channel, category, purpose), where any was given for that purpose; for all
    others it is the word on the category."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The installation's part: which consent a category needs."""

    consent: Mapping[str, ConsentRule] = field(
        default_factory=lambda: {"marketing": "opt_in", "transactional": "not_needed"}
    )


@dataclass(frozen=True, slots=True)
class Closed:
    """This channel may not be used, and why."""

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Defer:
    """Not before `until`. `reason` says which rule asked for it."""

    until: datetime
    reason: SkipReason
    passed_over: tuple[tuple[str, str], ...] = ()
    kind: Literal["defer"] = "defer"


Finding = Closed | Defer | None
Rule = Callable[[Request, str, Profile, Settings], Finding]
"""Judges one message on one channel. Pure."""


@dataclass(frozen=True, slots=True)
class Send:
    """`channels` are those that are open, in the author's order. `passed_over` are the closed ones before the
    first of them, `closed` all of them."""

    channels: tuple[str, ...]
    passed_over: tuple[tuple[str, str], ...] = ()
    closed: tuple[tuple[str, str], ...] = ()
    kind: Literal["send"] = "send"


@dataclass(frozen=True, slots=True)
class Skip:
    """No channel is open. `reason` is that of the first listed channel."""

    reason: SkipReason
    passed_over: tuple[tuple[str, str], ...] = ()
    kind: Literal["skip"] = "skip"


Verdict = Send | Defer | Skip
