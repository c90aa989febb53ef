"""A row of a file of customers becomes what `identify` would be told: identities, traits, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.customers.graph import most_telling
from engine.customers.identifiers import LONGEST, Unusable, normalise
from engine.customers.importing import cells
from engine.customers.importing.cells import Odd, Reader
from engine.customers.importing.columns import Column, Mapped
from engine.customers.importing.reading import Row
from engine.language.addresses import KINDS
from engine.language.catalogue import Catalogue
from engine.language.installation import Identities, Installation
from engine.store import jsonb
from engine.store.identities import Identity

EARLY: Final = timedelta(hours=1)
"""How far ahead of the import a row may say that it was said."""
_PLAIN_KINDS: Final = ("external_id", "anonymous_id")
"""Kinds that no trait names."""


@dataclass(frozen=True, slots=True)
class Person:
    """What a row says of one customer. `identities`: the most telling first.

    `odd`: what of it could not be used; the rest is taken.
    """

    line: int
    identities: tuple[Identity, ...] = field(repr=False)
    traits: dict[str, Any] = field(repr=False)
    at: datetime
    odd: str = ""

    @property
    def via(self) -> str:
        return ":".join(self.identities[0])


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is left out, and why. Reasons hold no values."""

    line: int
    why: str


class CannotMap(ValueError):
    """A column becomes what it cannot."""


_Take = Callable[[Any, "_Draft"], None]


@dataclass(slots=True)
class _Draft:
    identities: dict[Identity, None] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    consents: dict[str, bool] = field(default_factory=dict)
    at: datetime | None = None
    odd: list[str] = field(default_factory=list)

    def add(self, name: str, values: list[str]) -> None:
        self.traits[name] = [*self.traits.get(name, ()), *values]


class People:
    """Reads rows by one mapping. `at` is the logical instant of what a row does not say the time of."""

    def __init__(
        self, mapped: Mapped, catalogue: Catalogue, installation: Installation, at: datetime
    ) -> None:
        self._rules = installation.identities
        self._zone = ZoneInfo(installation.time_zone)
        self._at = at
        self._takes: list[tuple[str, _Take]] = [
            (column.name, self._take(column, catalogue)) for column in mapped.columns
        ]

    def read(self, row: Row, place: int) -> Person | Rejected:
        """What a row says. `place` is its number in the file: of rows without a time the later count."""
        if row.why:
            return Rejected(row.line, row.why)
        draft = _Draft()
        found = row.cells
        for name, take in self._takes:
            if name in found:
                try:
                    take(found[name], draft)
                except Odd as why:
                    return Rejected(row.line, f"{name[:60]}: {why}")
        if not draft.identities:
            said = "; ".join(draft.odd) or "no identifier"
            return Rejected(row.line, f"nobody can be told by it: {said}")
        at = draft.at or self._at + timedelta(microseconds=place)
        if at > self._at + EARLY and draft.at is not None:
            return Rejected(row.line, "said in the future")
        if draft.consents:
            draft.traits["consents"] = draft.consents
        identities = tuple(draft.identities)
        if len(identities) > 1:
            first = most_telling(identities, self._rules)
            if identities[0] != first:
                identities = (first, *(each for each in identities if each != first))
        return Person(row.line, identities, draft.traits, at, "; ".join(draft.odd))

    def _take(self, column: Column, catalogue: Catalogue) -> _Take:
        to, name = column.to, column.name
        if to in KINDS:
            return _identifier(to, name, self._rules)
        if to.startswith("identity."):
            return _identifier(to.removeprefix("identity."), name, self._rules)
        if to.startswith("consent."):
            return _consent(to.removeprefix("consent."))
        if to.startswith(("tag.", "segment.")):
            kind, _, word = to.partition(".")
            return _flag(f"{kind}s", word)
        match to:
            case "at":
                return self._said_at(column)
            case "tags" | "segments":
                return _words(to)
            case "consents":
                return _consents
            case "time_zone" | "locale":
                return _trait(to, cells.text)
        declared = catalogue.profile.get(to)
        if declared is not None and declared.computed is not None:
            raise CannotMap(f"column `{name[:60]}`: `{to}` is computed and cannot be set")
        return _trait(
            to, cells.reader(None if declared is None else declared.type, self._zone, column.format)
        )

    def _said_at(self, column: Column) -> _Take:
        def take(value: Any, draft: _Draft) -> None:
            draft.at = cells.instant(value, self._zone, column.format)

        return take


def identifier_of(kind: str, value: Any, rules: Identities) -> str:
    """An identifier as it is kept.

    Raises:
        Unusable: it is none.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        value = cells.unguarded(value)
    found = jsonb.clean_text(normalise(kind, value, rules.phone_region))
    if not found:
        raise Unusable("expected text, got nothing")
    return found


def _identifier(kind: str, name: str, rules: Identities) -> _Take:
    def take(value: Any, draft: _Draft) -> None:
        if value is None:
            if kind in KINDS and kind not in _PLAIN_KINDS:
                draft.traits[kind] = None
            return
        try:
            found = identifier_of(kind, value, rules)
        except Unusable as why:
            if isinstance(value, str) and len(value) > LONGEST:
                raise Odd(str(why)) from None
            draft.odd.append(f"{name[:60]}: {why}")
            if kind in KINDS and kind not in _PLAIN_KINDS:
                draft.traits.setdefault(kind, cells.plain(value))
            return
        draft.identities[(kind, found)] = None
        if kind in KINDS and kind not in _PLAIN_KINDS:
            draft.traits.setdefault(kind, found)

    return take


def _trait(to: str, read: Reader) -> _Take:
    def take(value: Any, draft: _Draft) -> None:
        draft.traits[to] = None if value is None else read(value)

    return take


def _words(to: str) -> _Take:
    def take(value: Any, draft: _Draft) -> None:
        if value is not None:
            draft.add(to, [each for each in cells.listing(value) if isinstance(each, str)])

    return take


def _flag(to: str, word: str) -> _Take:
    def take(value: Any, draft: _Draft) -> None:
        if value is not None and cells.boolean(value):
            draft.add(to, [word])

    return take


def _consent(channel: str) -> _Take:
    def take(value: Any, draft: _Draft) -> None:
        if value is not None:
            draft.consents[channel] = cells.boolean(value)

    return take


def _consents(value: Any, draft: _Draft) -> None:
    if isinstance(value, Mapping):
        draft.consents |= {str(channel): cells.boolean(answer) for channel, answer in value.items()}
    elif value is not None:
        draft.consents |= dict.fromkeys((e for e in cells.listing(value) if isinstance(e, str)), True)
