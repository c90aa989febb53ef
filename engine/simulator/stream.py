"""A stream of messages in Segment's shape (`/v1/track`, `/v1/identify`, …) becomes people and what happens
to them: the same names, profiles and ids as the intake would give them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from heapq import merge
from typing import Any, Final
from zoneinfo import available_timezones

from engine.core.identity import event_id, profile_key
from engine.language.addresses import IDENTIFIERS
from engine.simulator.person import Change, Person
from engine.simulator.simulation import Simulation

_ZONE_NAMES: Final = ("time_zone", "timezone", "timeZone")
_NAMES: Final = {
    "identify": "profile.identified",
    "alias": "profile.aliased",
    "page": "page.viewed",
    "screen": "screen.viewed",
    "group": "group.joined",
}


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One readable message. `place` counts from 1 in the order of the stream."""

    place: int
    type: str
    name: str
    at: datetime
    message_id: str
    external_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    properties: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that was left out. `place` counts from 1."""

    place: int
    reason: str


def read_stream(messages: Iterable[object]) -> tuple[list[StreamMessage], list[Unreadable]]:
    """The messages by `timestamp`, ties in their order, and those that cannot be read.

    A message id that has been there before is left out without a word, as the intake does.
    """
    found: list[StreamMessage] = []
    bad: list[Unreadable] = []
    seen: set[str] = set()
    for place, message in enumerate(messages, start=1):
        try:
            read = _read(place, message)
        except ValueError as error:
            bad.append(Unreadable(place, str(error)))
            continue
        if read.message_id not in seen:
            seen.add(read.message_id)
            found.append(read)
    found.sort(key=lambda each: (each.at, each.place))
    return found, bad


def _read(place: int, message: object) -> StreamMessage:
    if not isinstance(message, Mapping):
        raise ValueError("expected an object")
    kind = message.get("type") or ("track" if "event" in message else "identify")
    if kind != "track" and kind not in _NAMES:
        raise ValueError(f"type: expected track, {', '.join(_NAMES)}, got {kind!r}")
    name = message.get("event") if kind == "track" else _NAMES[kind]
    if not isinstance(name, str) or not name.strip():
        raise ValueError("event: expected the event's name")
    external_id, anonymous_id = _id(message, "userId"), _id(message, "anonymousId")
    if external_id is None and anonymous_id is None:
        raise ValueError("userId or anonymousId: one of them is needed to know whose event this is")
    return StreamMessage(
        place,
        kind,
        name.strip(),
        _instant(message),
        _id(message, "messageId") or f"line-{place}",
        external_id,
        anonymous_id,
        _id(message, "previousId"),
        _properties(message, kind),
        _traits(message) if kind == "identify" else {},
    )


def _id(message: Mapping[str, Any], key: str) -> str | None:
    value = message.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{key}: expected text")
    return str(value)


def _instant(message: Mapping[str, Any]) -> datetime:
    value = message.get("timestamp") or message.get("originalTimestamp")
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("timestamp: expected an ISO 8601 instant such as 2026-11-11T10:00:00Z")


def _object(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _properties(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind in ("identify", "alias"):
        return {}
    properties = _object(message.get("traits" if kind == "group" else "properties"))
    if kind == "group":
        properties["group_id"] = message.get("groupId")
    elif kind in ("page", "screen"):
        for key in ("name", "category"):
            if isinstance(message.get(key), str):
                properties.setdefault(key, message[key])
        if "name" in properties:
            properties.setdefault(kind, properties["name"])
    return properties


def _traits(message: Mapping[str, Any]) -> dict[str, Any]:
    return {**_object(_object(message.get("context")).get("traits")), **_object(message.get("traits"))}


class Crowd:
    """The people of a stream, found by their identities with the rules of `engine.customers.resolve`.

    One difference: profiles that turn out to be one are one from the beginning, while a running system
    merges them when it learns of it.
    """

    def __init__(self, run: Simulation, source: str) -> None:
        self._run = run
        self._source = source
        self._known: dict[tuple[str, str], Person] = {}
        self._people: dict[str, Person] = {}
        """By profile key, the oldest first."""
        self._externals: dict[str, str] = {}
        """Profile key to external id."""
        self.message_ids: dict[str, str] = {}
        """Event id to message id."""

    @property
    def people(self) -> list[Person]:
        return list(self._people.values())

    def take(self, message: StreamMessage) -> None:
        """Adds what the message says to the script of its person. Messages must come by time."""
        person = self._person(message)
        id = event_id(self._source, message.message_id)
        self.message_ids[id] = message.message_id
        if message.type == "identify":
            order = self._run.next_order()
            person.script.append(Change("identify", message.at, _profile(message.traits), order=order))
        name = self._run.surroundings.catalogue.canonical(message.name)
        person.script.append(self._run.event(name, message.at, message.properties, id))

    def _person(self, message: StreamMessage) -> Person:
        external, anonymous = message.external_id, message.anonymous_id
        identities = [("external_id", external)] if external is not None else []
        identities += [("anonymous_id", id) for id in (anonymous, message.previous_id) if id is not None]
        found = [self._known[each] for each in identities if each in self._known]
        if external is None:
            person = found[0] if found else self._make(identities[0])
        else:
            person = self._customer(external, found)
        for kind, value in identities:
            if self._known.setdefault((kind, value), person) is person:
                person.attributes.setdefault(kind, value)
        return person

    def _customer(self, external: str, found: list[Person]) -> Person:
        """The customer with this external id. Profiles without one that were found become that customer."""
        nameless = [person for person in dict.fromkeys(found) if person.key not in self._externals]
        person = self._known.get(("external_id", external))
        if person is None:
            person = self._eldest(nameless) if nameless else self._make(("external_id", external))
            self._externals[person.key] = external
        for other in nameless:
            if other is not person:
                person = self._merge(person, other)
        return person

    def _make(self, identity: tuple[str, str]) -> Person:
        person = Person(profile_key(*identity))
        self._people[person.key] = person
        return person

    def _eldest(self, people: list[Person]) -> Person:
        return next(person for person in self._people.values() if person in people)

    def _merge(self, one: Person, two: Person) -> Person:
        """The older of the two stays, with its key."""
        stays = self._eldest([one, two])
        goes = two if stays is one else one
        stays.script = deque(merge(stays.script, goes.script, key=lambda each: (each.at, each.order)))
        external = self._externals.pop(goes.key, None)
        if external is not None:
            self._externals[stays.key] = external
        for identity, person in self._known.items():
            if person is goes:
                self._known[identity] = stays
        for name, value in goes.attributes.items():
            stays.attributes.setdefault(name, value)
        del self._people[goes.key]
        return stays


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _profile(traits: Mapping[str, Any]) -> dict[str, Any]:
    """Traits as `Simulation.identify` takes them, without values that a reserved trait cannot take."""
    data: dict[str, Any] = {}
    for name, value in traits.items():
        if name in _ZONE_NAMES:
            if isinstance(value, str) and value in _zones():
                data["time_zone"] = value
        elif name in ("tags", "segments"):
            data[name] = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
        elif name in IDENTIFIERS:
            if name != "external_id" and (value is None or isinstance(value, str)):
                data[name] = value
        elif name not in ("anonymous_id", "userId", "anonymousId"):
            data[name] = value
    return data
