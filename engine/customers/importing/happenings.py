"""A row of a file of events becomes an event: its name, when, of whom, and its properties."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.customers.facts import event_types
from engine.customers.identifiers import Unusable
from engine.customers.importing import cells
from engine.customers.importing.cells import Odd, Reader
from engine.customers.importing.columns import Mapped, is_identifier
from engine.customers.importing.people import Rejected, identifier_of
from engine.customers.importing.reading import Row
from engine.language.catalogue import BUILT_IN_EVENTS, Catalogue
from engine.language.installation import Installation
from engine.store.identities import Identity

LONGEST_NAME: Final = 200
LONGEST_ID: Final = 256
EARLY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a file. `message_id`: of its own, or a digest of the row, so that it is known again."""

    line: int
    name: str
    occurred_at: datetime
    identities: tuple[Identity, ...] = field(repr=False)
    message_id: str = field(repr=False)
    properties: dict[str, Any] = field(repr=False)
    odd: str = ""


class Happenings:
    """Reads rows by one mapping. `now` is the logical instant of the import: nothing happened after it."""

    def __init__(
        self, mapped: Mapped, catalogue: Catalogue, installation: Installation, now: datetime
    ) -> None:
        self._zone = ZoneInfo(installation.time_zone)
        self._rules = installation.identities
        self._now = now
        self._catalogue = catalogue
        self._called = {
            other: event.name
            for event in catalogue.events.values()
            for other in event.also_called
            if other not in catalogue.events
        }
        self._constant = mapped.event
        self._named = mapped.of("event")
        self._when = mapped.of("occurred_at")
        self._message = mapped.of("message_id")
        special = {id(each) for each in (self._named, self._when, self._message)}
        rest = [column for column in mapped.columns if id(column) not in special]
        self._who = [(c.name, c.to.removeprefix("identity.")) for c in rest if is_identifier(c.to)]
        self._what = [(c.name, c.to, c.format) for c in rest if not is_identifier(c.to)]
        self._readers: dict[str, list[tuple[str, str, Reader]]] = {}

    def read(self, row: Row) -> Happening | Rejected:
        """The event of a row."""
        if row.why:
            return Rejected(row.line, row.why)
        try:
            name = self._name(row)
            occurred_at = self._occurred_at(row)
            identities, odd = self._identities(row)
            properties = {
                to: None if row.cells[column] is None else _of(column, read, row.cells[column])
                for column, to, read in self._reader(name)
                if column in row.cells
            }
            message_id = self._message_id(row)
        except Odd as why:
            return Rejected(row.line, str(why))
        return Happening(row.line, name, occurred_at, identities, message_id, properties, "; ".join(odd))

    def _name(self, row: Row) -> str:
        value = self._constant
        if self._named is not None and (value is None or self._named.name in row.cells):
            value = row.cells.get(self._named.name, value)
        name = value.strip() if isinstance(value, str) else ""
        if not name:
            raise Odd("the event has no name")
        if len(name) > LONGEST_NAME:
            raise Odd(f"the event's name has {len(name)} characters, at most {LONGEST_NAME} are allowed")
        if "\x00" in name or not _encodes(name):
            raise Odd("the event's name holds what is no text")
        name = self._called.get(name, name)
        if name in BUILT_IN_EVENTS:
            raise Odd("an event that the engine makes itself")
        return name

    def _occurred_at(self, row: Row) -> datetime:
        column = self._when
        value = None if column is None else row.cells.get(column.name)
        if column is None or value is None:
            raise Odd("there is no word of when it happened")
        at: datetime = _of(column.name, lambda v: cells.instant(v, self._zone, column.format), value)
        if at > self._now + EARLY:
            raise Odd(f"{column.name[:60]}: in the future")
        return min(at, self._now)

    def _identities(self, row: Row) -> tuple[tuple[Identity, ...], list[str]]:
        found: dict[Identity, None] = {}
        odd = []
        for column, kind in self._who:
            value = row.cells.get(column)
            if value is None:
                continue
            try:
                found[(kind, identifier_of(kind, value, self._rules))] = None
            except Unusable as why:
                odd.append(f"{column[:60]}: {why}")
        if not found:
            raise Odd("nobody can be told by it: " + ("; ".join(odd) or "no identifier"))
        return tuple(found), odd

    def _message_id(self, row: Row) -> str:
        column = self._message
        value = None if column is None else row.cells.get(column.name)
        if column is not None and value is not None:
            text: str = _of(column.name, cells.text, value)
            if len(text) > LONGEST_ID:
                raise Odd(f"{column.name[:60]}: {len(text)} characters, at most {LONGEST_ID} are allowed")
            return text
        content = json.dumps(row.cells, sort_keys=True, default=str)
        return "row-" + hashlib.sha256(f"{self._constant}\x00{content}".encode()).hexdigest()[:40]

    def _reader(self, name: str) -> list[tuple[str, str, Reader]]:
        found = self._readers.get(name)
        if found is None:
            types = event_types(self._catalogue, name)
            found = [
                (column, to, cells.reader(types.get(to), self._zone, form)) for column, to, form in self._what
            ]
            if len(self._readers) < 1_000:
                self._readers[name] = found
        return found


def _of(column: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except Odd as why:
        raise Odd(f"{column[:60]}: {why}") from None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
