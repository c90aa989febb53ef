"""What the rules are asked, what they look at, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from engine.core.inputs import SkipReason
from engine.core.limits import NO_POLICY, Hours, Policy, Use
from engine.core.plan import Category
from engine.core.values import dataclass

ConsentRule = Literal["opt_in", "opt_out", "not_needed"]
Wait = SkipReason | Literal["best_time"]
"""Why a message waits. Nothing is skipped because of `best_time`."""
LOOKS: Final = ("message.opened", "message.clicked")
"""Events that say at which hour somebody looks at messages."""
LONGEST: Final = timedelta(days=14)
"""No message is put off longer than this, whatever its rules say."""


@dataclass(slots=True)
class Request:
    """May this message go out, and by which of `channels` (in the author's order)?

    `at` is the instant it would go out; `since` when it was first asked about, if it was put off meanwhile.
    `rank` says how important its journey is: the lower, the more. `over`: a goal or exit has overtaken it.
    `late`: past the journey's `max_lateness`. `repeat`: an earlier call of it may have gone through, so it
    has its place already. `best_time`: it waits for the hour at which this customer looks most.
    """

    profile_id: str
    channels: tuple[str, ...]
    category: Category
    at: datetime
    holdout: bool = False
    purpose: str | None = None
    policy: Policy = NO_POLICY
    journey: str = ""
    key: str = ""
    since: datetime | None = None
    rank: int = 0
    over: bool = False
    late: bool = False
    repeat: bool = False
    best_time: bool = False
    hours: Mapping[str, Hours] = field(default_factory=dict)
    """Those of its own provider, where a channel has several and `kairos.yaml` names no hours."""

    @property
    def limited(self) -> bool:
        """Whether the hours that marketing keeps are for this message."""
        return self.category == "marketing" and not self.repeat

    def may_wait(self, until: datetime, longest: timedelta = LONGEST) -> bool:
        """Whether it may be put off until then, counted from when it was first asked about."""
        return until - (self.since or self.at) <= longest


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
    time_zone: str = "UTC"
    """Their own, or the installation's where they have none."""
    uses: Sequence[Use] = ()
    """What counts for caps, by `at`: messages that went out, and those that wait for a place."""
    looks: Sequence[int] = ()
    """Their opens and clicks by local hour, 24; empty where there are none or nobody asks."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The installation's part: which consent a category needs, hours by channel, its time zone.

    `spread`: whether what was put off until quiet hours are over is spread; only where time is real. `looks`:
    everybody's opens and clicks by local hour.
    """

    consent: Mapping[str, ConsentRule] = field(
        default_factory=lambda: {"marketing": "opt_in", "transactional": "not_needed"}
    )
    time_zone: str = "UTC"
    hours: Mapping[str, Hours] = field(default_factory=dict)
    spread: bool = False
    looks: Sequence[int] = ()

    def zone(self, name: str, profile: Profile) -> str:
        """The zone that `profile`, `installation` or an IANA name stands for."""
        if name == "profile":
            return profile.time_zone
        return self.time_zone if name == "installation" else name


Saw = Mapping[str, Any]
"""The values that a rule went by, as JSON data, for people."""


@dataclass(frozen=True, slots=True)
class Closed:
    """This channel may not be used, and why; the next one may."""

    reason: SkipReason
    saw: Saw = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Held:
    """The message as a whole may not go out now, whatever channels come after this one.

    `until`: it may be asked about again then. Without it the message is skipped.
    """

    reason: Wait
    until: datetime | None = None
    saw: Saw = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Why:
    """What one rule said about one channel."""

    channel: str
    reason: Wait
    until: datetime | None = None
    saw: Saw = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Defer:
    """Not before `until`. `reason` says which rule asked for it.

    As a finding it is about one channel: another that is open is used.
    """

    until: datetime
    reason: Wait
    passed_over: tuple[tuple[str, str], ...] = ()
    kind: Literal["defer"] = "defer"
    saw: Saw = field(default_factory=dict, compare=False)
    why: tuple[Why, ...] = field(default=(), compare=False)


Finding = Closed | Held | Defer | None
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
    why: tuple[Why, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Skip:
    """No channel is open. `reason` is that of the first listed channel."""

    reason: SkipReason
    passed_over: tuple[tuple[str, str], ...] = ()
    kind: Literal["skip"] = "skip"
    why: tuple[Why, ...] = field(default=(), compare=False)


Verdict = Send | Defer | Skip
