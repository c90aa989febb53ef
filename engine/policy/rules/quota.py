"""`window`, `quota`: the provider lets us write only after something happened, and only so often.

`window`: nothing that opens it has happened, or it is over. `quota`: as many messages as it allows have gone
out. Asked once the message is rendered, since what it is says what it draws on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.core.calendar import DAY, month_of
from engine.core.limits import Quota
from engine.policy.request import Closed

Happened = tuple[str, datetime]
"""An event's name and when it occurred, ascending; those of another grant left out."""


def within_quota(
    quota: Quota, at: datetime, happened: Sequence[Happened], used: Sequence[datetime]
) -> Closed | None:
    """`used`: when messages of this kind went out to this person, ascending."""
    if quota.monthly is not None:
        begins, ends = month_of(at, quota.zone)
        most = round((ends - begins) / DAY) if quota.monthly == "days" else quota.monthly
        gone = sum(begins <= sent < ends for sent in used)
        if gone >= most:
            return Closed("quota", {"monthly": most, "sent": gone})
    if not quota.openings:
        return None
    closed_at = max((when for name, when in happened if name in quota.closed_by and when <= at), default=None)
    opened = [each for each in happened if each[1] <= at and (closed_at is None or each[1] > closed_at)]
    return _granted(quota, opened, used, closed_at) if quota.adds_up else _open(quota, at, opened, used)


def _granted(
    quota: Quota, opened: Sequence[Happened], used: Sequence[datetime], closed_at: datetime | None
) -> Closed | None:
    each = {opening.event: opening.most for opening in quota.openings}
    grants = sum(each.get(name, 0) for name, _ in opened)
    if not grants:
        return Closed("window", {"granted": 0})
    gone = sum(closed_at is None or sent > closed_at for sent in used)
    return Closed("quota", {"granted": grants, "sent": gone}) if gone >= grants else None


def _open(quota: Quota, at: datetime, opened: Sequence[Happened], used: Sequence[datetime]) -> Closed | None:
    allowances = {opening.event: opening for opening in quota.openings}
    last: dict[str, object] = {}
    fullest: dict[str, object] | None = None
    for name, when in opened:
        opening = allowances.get(name)
        if opening is None:
            continue
        last = {"event": name, "at": when.isoformat()}
        if opening.lasts is not None:
            last["lasts"] = opening.lasts.total_seconds()
            if at - when > opening.lasts:
                continue
        gone = sum(sent >= when for sent in used)
        if gone < opening.most:
            return None
        fullest = {**last, "most": opening.most, "sent": gone}
    return Closed("window", last) if fullest is None else Closed("quota", fullest)
