"""Policies: what limits messages, as `policies` of `kairos.yaml` say it. Data only; `engine.policy` judges.

Every limit is one customer's, but for `Budget`, which is the installation's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from engine.core.plan import Category

Per = Literal["person", "journey", "channel"]
Period = Literal["hour", "day", "week"]


@dataclass(frozen=True, slots=True)
class Cap:
    """No more than `most` messages, either in any stretch of `within` or in each `calendar` period.

    `per` says what is counted apart: `person` all messages together, `journey` those of each journey,
    `channel` those of each channel. Without `category` it is about marketing; `channel` narrows it to one.
    """

    most: int
    within: timedelta | None = None
    calendar: Period | None = None
    per: Per = "person"
    category: Category | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """No marketing from `opens` to `closes` (`HH:MM`), also over midnight; `days` are those it begins on.

    `zone` is `profile`, `installation` or an IANA name. What was put off goes out over `spread`.
    """

    opens: str
    closes: str
    then: Literal["defer", "skip"] = "defer"
    days: tuple[int, ...] = ()
    zone: str = "profile"
    spread: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Hours:
    """Marketing leaves by a channel only from `opens` to `closes`."""

    opens: str
    closes: str
    days: tuple[int, ...] = ()
    zone: str = "profile"


@dataclass(frozen=True, slots=True)
class Policy:
    """A named policy. `max_defer` bounds how long caps may put off one message."""

    caps: tuple[Cap, ...] = ()
    on_capped: Literal["skip", "defer", "next_channel"] = "skip"
    max_defer: timedelta = timedelta(days=1)
    quiet_hours: QuietHours | None = None


NO_POLICY = Policy()
ANY = ""
"""The channel of a `Use` that has not chosen one."""


@dataclass(frozen=True, slots=True)
class Use:
    """A message that counts for caps: it went out at `at`, or waits for that instant (`waits_as`).

    `key` is its delivery's; `waits_as` the rank of its journey, which goes before those of a higher number.
    """

    at: datetime
    channel: str
    category: Category
    journey: str
    key: str = field(default="", compare=False)
    waits_as: int | None = None
