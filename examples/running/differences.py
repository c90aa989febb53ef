"""Two sets of records side by side, enrolment by enrolment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from examples.running.records import Record, RecordKey, Records

_FIELDS = ("entered_at", "holdout", "exit", "ended_at", "converted_at", "variants")


@dataclass(frozen=True, slots=True)
class Difference:
    """What one enrolment did otherwise in the live run than in the simulation."""

    key: RecordKey
    what: str
    live: str
    simulated: str

    def __str__(self) -> str:
        where = f"{self.key.journey}, {self.key.customer}, entered by {self.key.trigger}"
        return f"{where}\n    {self.what}\n      live       {self.live}\n      simulated  {self.simulated}"


def compare(live: Records, simulated: Records) -> list[Difference]:
    """Every difference, in order of key; at most one line of a trace for each enrolment, the first."""
    found: list[Difference] = []
    for key in sorted(live.keys() | simulated.keys()):
        here, there = live.get(key), simulated.get(key)
        if here is None or there is None:
            found.append(Difference(key, "enrolment", _said(here), _said(there)))
        else:
            found += _between(here, there)
    return found


def _said(record: Record | None) -> str:
    return "never entered" if record is None else f"entered at {record.entered_at}"


def _between(live: Record, simulated: Record) -> Iterator[Difference]:
    for name in _FIELDS:
        here, there = getattr(live, name), getattr(simulated, name)
        if here != there:
            yield Difference(live.key, name.replace("_at", ""), _word(here), _word(there))
    for what, ours, theirs in (
        ("message", live.messages, simulated.messages),
        ("trace", live.trace, simulated.trace),
    ):
        for place, (here, there) in enumerate(zip_longest(ours, theirs), start=1):
            if here != there:
                yield Difference(live.key, f"{what} {place}", _word(here), _word(there))
                break


def _word(value: Any) -> str:
    if value is None:
        return "nothing"
    return " · ".join(value) if isinstance(value, tuple) else str(value)
