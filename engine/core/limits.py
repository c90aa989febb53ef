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
class BestTime:
    """From when to when `send_at: best_time` may choose, where the customer is: whole hours."""

    opens: int = 9
    closes: int = 21


@dataclass(frozen=True, slots=True)
class Policy:
    """A named policy. `max_defer` bounds how long caps and budgets may put off one message."""

    caps: tuple[Cap, ...] = ()
    on_capped: Literal["skip", "defer", "next_channel"] = "skip"
    max_defer: timedelta = timedelta(days=1)
    quiet_hours: QuietHours | None = None
    best_time: BestTime = BestTime()


@dataclass(frozen=True, slots=True)
class Budget:
    """A channel's messages together use no more than `most` units in each `within` of the installation.

    A unit is a message, or with `segments` a part of a text message. What is transactional counts and goes.
    """

    most: int
    segments: bool = False
    within: Period = "day"
    then: Literal["skip", "defer", "next_channel"] = "skip"


@dataclass(frozen=True, slots=True)
class Opening:
    """An event that lets `most` messages follow within `lasts` (None: whenever)."""

    event: str
    most: int
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """How many messages of one kind a provider lets one person get.

    `openings`: only after one of these. Of several that are open the one that leaves most counts, unless each
    is a grant that `adds_up`. `closed_by`: events after which no earlier opening counts. `told_by`: openings
    and messages belong together by this property. `monthly`: so many in a calendar month of `zone`; `days` is
    as many as it has days.
    """

    openings: tuple[Opening, ...] = ()
    adds_up: bool = False
    closed_by: tuple[str, ...] = ()
    told_by: str | None = None
    monthly: int | Literal["days"] | None = None
    zone: str = "Asia/Shanghai"

    @property
    def events(self) -> tuple[str, ...]:
        """Names of the events that open or close it."""
        return (*(opening.event for opening in self.openings), *self.closed_by)


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
