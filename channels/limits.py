"""When a provider lets us write, as its adapter declares it. Whoever sends keeps to it before the call.

What is declared here is the usual case; `kairos.yaml` says otherwise where an account has other terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class Hours:
    """Marketing leaves from `opens` to `closes`; `zone` is `profile` (the receiver's) or an IANA name."""

    opens: str
    closes: str
    zone: str = "profile"


@dataclass(frozen=True, slots=True)
class Opening:
    """An event of ours that lets `most` messages follow within `lasts` (None: for as long as they last)."""

    event: str
    most: int
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """How many messages of one kind one person may get.

    `openings`: only after one of these; of several that are open the one that leaves most counts, unless each
    is a grant that `adds_up`. `closed_by`: events after which no earlier opening counts. `told_by`: openings
    and messages belong together by this property of the event. `monthly`: so many in a calendar month of
    `zone`; `days` is as many as it has days.
    """

    openings: tuple[Opening, ...] = ()
    adds_up: bool = False
    closed_by: tuple[str, ...] = ()
    told_by: str | None = None
    monthly: int | Literal["days"] | None = None
    zone: str = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class Need:
    """What a rendered message draws on: one of its adapter's quotas, `of` telling grants apart."""

    quota: str
    of: str = ""
