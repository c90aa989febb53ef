"""The whole life of a message in order of time: asked for, put off, passed over, sent, heard of; and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from engine.core.describe import length
from engine.core.words import reason_in_words
from engine.store.deliveries import Delivery
from engine.store.events import Event

_SETTLED: Final = {
    "rejected": "every open channel refused it",
    "skipped": "skipped",
    "failed": "given up",
    "unknown": "nobody can say whether it went out; it counts as sent",
    "deferred": "waits",
    "claimed": "is being worked on",
    "sending": "is being handed over",
}
_TOLD: Final = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.opened": "opened",
    "message.clicked": "clicked",
    "message.bounced": "bounced",
    "message.complained": "complained about",
    "message.replied": "replied to",
    "message.failed": "failed",
}
_ORDER: Final = {
    name: place
    for place, name in enumerate(
        ("from", "to", "zone", "per", "category", "channel", "event", "at", "most", "within", "lasts", "sent")
    )
}
"""In which order values are told; all others come after these."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened to a message at the logical instant `at`, in words."""

    at: datetime
    what: str
    words: str


def life(row: Delivery, told: Sequence[Event], ended: tuple[datetime, str] | None = None) -> list[Moment]:
    """`told` are the events about this message; `ended` says when and how its enrolment did, if it has."""
    found = [Moment(row.at, "asked", f"`{row.step}` asked for it: {row.template}, {row.category}")]
    found += _said(row)
    at = row.handed_at or (found[-1].at if row.state == "skipped" else row.at)
    found += [
        Moment(at, "passed_over", f"{channel} passed over: {reason_in_words(reason)}")
        for channel, reason in row.passed_over
    ]
    if row.handed_at is not None:
        found.append(Moment(row.handed_at, "handed_over", _handed(row)))
    found.sort(key=lambda moment: moment.at)
    if row.state in _SETTLED:
        why = f": {reason_in_words(row.reason)}" if row.reason else ""
        if row.reason == "render" and (detail := (row.raw or {}).get("detail")):
            why += f": {detail}"
        until = f" until {_instant(row.due_at)}" if row.state == "deferred" and row.due_at else ""
        if row.state == "deferred" and ended is not None:
            found.append(Moment(ended[0], "dropped", f"not sent: its enrolment ended meanwhile ({ended[1]})"))
        else:
            found.append(Moment(found[-1].at, row.state, f"{_SETTLED[row.state]}{until}{why}"))
    heard = [Moment(event.occurred_at, event.name, _heard(event)) for event in told]
    return sorted([*found, *heard], key=lambda moment: moment.at)


def _said(row: Delivery) -> Iterator[Moment]:
    for entry in row.why or ():
        at = datetime.fromisoformat(entry["at"])
        for rule in entry["rules"]:
            until = rule.get("until")
            put = "put off" if entry["verdict"] == "defer" else "stopped"
            then = f" until {_instant(datetime.fromisoformat(until))}" if until else ""
            reason = "waits for its best time" if rule["reason"] == "best_time" else None
            words = reason or reason_in_words(rule["reason"])
            saw = saw_in_words(rule.get("saw") or {})
            yield Moment(at, entry["verdict"], f"{rule['channel']} {put}{then}: {words}{saw}")


def saw_in_words(saw: Mapping[str, Any]) -> str:
    """The values that a rule went by: ` (sent 3, most 3, within 1d)`."""
    shown = []
    for name, value in sorted(saw.items(), key=lambda each: (_ORDER.get(each[0], len(_ORDER)), each[0])):
        if name in ("within", "lasts") and isinstance(value, int | float):
            value = length(timedelta(seconds=value))
        elif name in ("at", "free_at") and isinstance(value, str):
            value = _instant(datetime.fromisoformat(value))
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        shown.append(f"{name.replace('_', ' ')} {value}")
    return f" ({'; '.join(shown)})" if shown else ""


def _handed(row: Delivery) -> str:
    parts = [f"handed over by {row.channel}" + (f" through {row.provider}" if row.provider else "")]
    if row.template_digest:
        variant = f" as {row.template_variant}" if row.template_variant else ""
        parts.append(f"template {row.template_digest[:12]}{variant}")
    if row.units is not None:
        parts.append(f"{row.units} of the budget")
    if row.quota:
        parts.append(f"quota {row.quota}")
    if row.attempts > 1:
        parts.append(f"attempt {row.attempts}")
    if row.provider_id:
        parts.append(f"provider's id {row.provider_id}")
    return ", ".join(parts)


def _heard(event: Event) -> str:
    link = event.properties.get("link")
    assumed = " (assumed: nothing was heard)" if event.properties.get("assumed") else ""
    return _TOLD.get(event.name, event.name) + (f": {link}" if link else "") + assumed


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def lines(moments: Iterable[Moment]) -> Iterator[str]:
    """The life as lines for the terminal."""
    for moment in moments:
        yield f"{moment.at:%Y-%m-%d %H:%M:%S} UTC  {moment.words}"
