"""A stream of messages in Segment's shape (`/v1/track`, `/v1/identify`, …) becomes people and what happens
to them: the same names, profiles and ids as the intake would give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from engine.core.identity import event_id, profile_key
from engine.simulator.person import IDENTIFIERS, Change, Person
from engine.simulator.simulation import Simulation

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
    """The people of a stream, found by their identities."""

    def __init__(self, run: Simulation, source: str) -> None:
        self._run = run
        self._source = source
        self._known: dict[tuple[str, str], Person] = {}
        self.people: list[Person] = []
        self.message_ids: dict[str, str] = {}
        """Event id to message id."""

    def take(self, message: StreamMessage) -> None:
        """Adds what the message says to the script of its person. Messages must come by time."""
        person = self._person(message)
        id = event_id(self._source, message.message_id)
        self.message_ids[id] = message.message_id
        if message.type == "identify":
            self._identify(person, message)
        name = self._run.surroundings.catalogue.canonical(message.name)
        person.script.append(self._run.event(name, message.at, message.properties, id))

    def _person(self, message: StreamMessage) -> Person:
        """The external id leads before the anonymous one; what is not taken yet leads here from now on."""
        identities = [
            (kind, value)
            for kind, value in (
                ("external_id", message.external_id),
                ("anonymous_id", message.anonymous_id),
                ("external_id" if message.type == "alias" else "", message.previous_id),
            )
            if kind and value is not None
        ]
        person = self._find(identities)
        if person is None:
            person = Person(profile_key(*identities[0]))
            self.people.append(person)
        for kind, value in identities:
            self._known.setdefault((kind, value), person)
            if kind not in person.attributes:
                person.set({kind: value})
        return person

    def _find(self, identities: list[tuple[str, str]]) -> Person | None:
        for kind, value in identities:
            person = self._known.get((kind, value))
            if person is not None:
                taken = person.attributes.get("external_id")
                # A device that somebody else has used before does not make two customers one.
                if kind != "external_id" and identities[0][0] == "external_id" and taken is not None:
                    continue
                return person
        return None

    def _identify(self, person: Person, message: StreamMessage) -> None:
        traits = dict(message.traits)
        consents = traits.pop("consents", None)
        data = {name: value for name, value in traits.items() if name not in ("external_id", "anonymous_id")}
        for kind in IDENTIFIERS:
            if isinstance(data.get(kind), int):
                data[kind] = str(data[kind])
        order = self._run.next_order()
        person.script.append(Change("identify", message.at, data, order=order))
        if isinstance(consents, Mapping):
            said = {
                str(channel): granted for channel, granted in consents.items() if isinstance(granted, bool)
            }
            person.script.append(Change("consent", message.at, said, order=order))
        elif isinstance(consents, list):
            person.script.append(
                Change("consent", message.at, dict.fromkeys(map(str, consents), True), order=order)
            )
