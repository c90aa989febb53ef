"""Where each attribute of a profile comes from, and which of two words on it counts.

`provenance` of a profile holds, for each name, what each identity last said of it:
`{name: {"kind:value": [at, source, confidence, value]}}`. `at` is logical, ISO 8601 in UTC; the entry whose
value counts has no fourth part: the value stands in the profile itself. A value that was cleared counts like
any other. Names of addresses, `time_zone` and `locale` have an `@` before them.

The newest word counts; at one instant that of the source named first, then clearing, then the greater value.
So the same words in any order come to the same profile, also over merges, and what was said of one identity
can be taken along when it turns out to be somebody else's. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

Provenance: TypeAlias = dict[str, dict[str, list[Any]]]
BEFORE: Final = ""
"""The instant of what was known before provenance was kept; earlier than any other."""


def stamp(at: datetime | None) -> str:
    """An instant as entries have it: texts compare like instants."""
    return BEFORE if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


@dataclass(slots=True)
class Record:
    """Values by name, as `provenance` names them; None is a value that was cleared."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    provenance: Provenance = field(default_factory=dict, repr=False)

    def entries(self, name: str) -> dict[str, list[Any]]:
        """The entries of a name, each with its value."""
        found = self.provenance.get(name)
        if not found:
            return {"": [BEFORE, None, None, self.values[name]]} if self.values.get(name) is not None else {}
        return {
            via: entry if len(entry) == 4 else [*entry, self.values.get(name)] for via, entry in found.items()
        }

    def put(self, name: str, entries: Mapping[str, list[Any]], sources: Sequence[str]) -> None:
        """Makes these all that is said of the name."""
        if not entries:
            self.provenance.pop(name, None)
            self.values.pop(name, None)
            return
        best = next(iter(entries))
        if len(entries) > 1:
            order = _order(sources)
            best = max(entries, key=lambda via: order(via, entries[via]))
        self.values[name] = entries[best][3]
        if list(entries) == [""] and entries[""][0] == BEFORE:
            self.provenance.pop(name, None)  # nothing is known but the value
            return
        self.provenance[name] = {
            via: list(entry[:3]) if via == best else list(entry) for via, entry in entries.items()
        }


def say(
    record: Record,
    name: str,
    value: Any,
    *,
    at: str,
    via: str,
    source: str | None = None,
    confidence: float | None = None,
    sources: Sequence[str] = (),
    first: bool = False,
) -> None:
    """One word on a name. `at` of `BEFORE` means now: it counts whatever was said.

    `first`: the earliest time that this was said is the one that counts.
    """
    entries = record.entries(name)
    if at == BEFORE and entries:
        at = max(entry[0] for entry in entries.values())
        entries = {v: e for v, e in entries.items() if e[0] < at}
    new = [at, source, confidence, value]
    before = entries.get(via)
    if before is not None:
        later = at > before[0]
        if at == before[0]:
            order = _order(sources)
            later = order(via, new) >= order(via, before)
        stays = later and before[0] != BEFORE if first else not later
        new = before if stays else new
    record.put(name, {**entries, via: new}, sources)


def joined(one: Record, two: Record, sources: Sequence[str] = ()) -> Record:
    """Both records as one."""
    found = Record()
    for name in sorted(one.values.keys() | two.values.keys() | one.provenance.keys() | two.provenance.keys()):
        entries = one.entries(name)
        order = _order(sources)
        for via, entry in two.entries(name).items():
            if via not in entries or order(via, entry) > order(via, entries[via]):
                entries[via] = entry
        found.put(name, entries, sources)
    return found


def parted(record: Record, going: Collection[str], sources: Sequence[str] = ()) -> tuple[Record, Record]:
    """What stays, and what the identities of `going` said, which goes with them."""
    stays, goes = Record(), Record()
    for name in sorted(record.values.keys() | record.provenance.keys()):
        entries = record.entries(name)
        stays.put(name, {v: e for v, e in entries.items() if v not in going}, sources)
        goes.put(name, {v: e for v, e in entries.items() if v in going}, sources)
    return stays, goes


def _order(sources: Sequence[str]) -> Callable[[str, list[Any]], tuple[Any, ...]]:
    places = {source: len(sources) - place for place, source in enumerate(sources)}

    def order(via: str, entry: list[Any]) -> tuple[Any, ...]:
        text = json.dumps(entry[3], ensure_ascii=False, sort_keys=True, default=str)
        known = via.startswith("external_id:")
        # Two who say the very same thing at once: any fixed order does, so that the record is the same.
        said_by = entry[1] or "", entry[2] or 0.0
        return entry[0], places.get(entry[1], 0), known, entry[3] is None, text, via, *said_by

    return order
