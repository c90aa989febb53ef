"""One message in Segment's shape becomes what we store, or a reason why not.

Source of the shape: Segment's HTTP tracking API (https://segment.com/docs/connections/spec/). A client
whose clock is wrong stamps `timestamp` and `sentAt` with the same error, so what it did happened at
`timestamp - sentAt + received_at` (the same pages, "Timestamps in Segment").

Pure: no clock and no randomness. A message without `messageId` gets the one handed in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, cast

MessageType = Literal["track", "identify", "alias", "page", "screen", "group"]
TYPES: Final[tuple[str, ...]] = ("track", "identify", "alias", "page", "screen", "group")

LONGEST_ID: Final = 256
LONGEST_NAME: Final = 200
DEEPEST: Final = 32
MOST_VALUES: Final = 20_000
"""Values in one message, nested ones counted, so that reading one costs a bounded time."""

EARLY: Final = timedelta(hours=1)
"""How far ahead of us a client's clock may be after correction. It then counts as now."""
OLDEST: Final = timedelta(days=3650)
"""Older events are refused: a clock that was never set says 1970."""

_NAMES: Final = {
    "identify": "profile.identified",
    "alias": "profile.aliased",
    "page": "page.viewed",
    "screen": "screen.viewed",
    "group": "group.joined",
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that can be stored. `traits` are the profile's (identify) and never part of the event."""

    type: MessageType
    name: str
    message_id: str
    occurred_at: datetime
    external_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    """`alias`: the identity that from now on leads to the same profile."""
    properties: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Of the client's context what may hold identifiers: `externalIds` and `device`. It is not stored."""
    confidence: float | None = None
    """`identify`: how sure the sender is of the traits, from 0 to 1: `context.confidence`."""


class Refusal(ValueError):
    """Why a message cannot be stored: what, where, what was expected."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When and how a batch came in.

    `sent_at` is the batch's own, if it has one. `exact` is for scaled clocks, whose senders speak logical
    time: nothing is corrected or clamped then, and `early` says how far ahead of ours they may be.
    """

    received_at: datetime
    sent_at: datetime | None = None
    exact: bool = False
    early: timedelta = EARLY


def normalise(
    message: object, arrival: Arrival, message_id: str, called: Mapping[str, str] | None = None
) -> Incoming:
    """The message as we store it.

    Args:
        message_id: used where the message has none; it can then not be told from a repetition.
        called: the catalogue's `also_called`: what clients send, to the declared name.

    Raises:
        Refusal: it cannot be stored; the text is for whoever sent it.
    """
    if not isinstance(message, dict):
        raise Refusal(f"a message: expected an object, got {_kind(message)}")
    _check_size(message)
    kind = message.get("type")
    if kind not in TYPES:
        raise Refusal(f"type: expected one of {', '.join(TYPES)}, got {_shown(kind)}")
    external_id, anonymous_id = _id(message, "userId"), _id(message, "anonymousId")
    if external_id is None and anonymous_id is None:
        raise Refusal("userId or anonymousId: one of them is needed to know whose event this is")
    previous_id = _id(message, "previousId")
    if kind == "alias" and previous_id is None:
        raise Refusal("previousId: an alias needs the identity that it joins to userId")
    name = _name(message, kind)
    return Incoming(
        type=cast(MessageType, kind),
        name=(called or {}).get(name, name),
        message_id=_id(message, "messageId") or message_id,
        occurred_at=_occurred_at(message, arrival),
        external_id=external_id,
        anonymous_id=anonymous_id,
        previous_id=previous_id,
        properties=_properties(message, kind),
        traits=_traits(message) if kind == "identify" else {},
        context=_context(message),
        confidence=_confidence(message),
    )


def instant(value: object, where: str) -> datetime | None:
    """An ISO 8601 instant in UTC; without an offset it is taken as UTC. None for a missing one."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and len(value) <= 40:
        try:
            parsed = datetime.fromisoformat(value)
            return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            pass
    raise Refusal(f"{where}: expected an ISO 8601 instant such as 2026-11-11T10:00:00Z, got {_shown(value)}")


def _occurred_at(message: Mapping[str, Any], arrival: Arrival) -> datetime:
    received_at = arrival.received_at
    stamp = instant(message.get("timestamp"), "timestamp")
    stamp = stamp or instant(message.get("originalTimestamp"), "originalTimestamp")
    sent_at = instant(message.get("sentAt"), "sentAt") or arrival.sent_at
    if stamp is None:
        return received_at
    occurred_at = stamp
    if sent_at is not None and not arrival.exact:
        try:
            occurred_at = stamp + (received_at - sent_at)
        except OverflowError:
            raise Refusal(f"sentAt: {sent_at.isoformat()} is too far from now") from None
    if occurred_at > received_at + arrival.early:
        raise Refusal(
            f"timestamp: {occurred_at.isoformat()} is in the future (more than {arrival.early} ahead of "
            f"{received_at.isoformat()}); send sentAt as well if the sender's clock may be wrong"
        )
    if occurred_at < received_at - OLDEST:
        raise Refusal(f"timestamp: {occurred_at.isoformat()} is more than {OLDEST.days} days ago")
    return occurred_at if arrival.exact else min(occurred_at, received_at)


def _name(message: Mapping[str, Any], kind: str) -> str:
    if kind != "track":
        return _NAMES[kind]
    name = message.get("event")
    if not isinstance(name, str) or not name.strip():
        raise Refusal(f"event: expected the event's name, got {_shown(name)}")
    name = name.strip()
    if len(name) > LONGEST_NAME:
        raise Refusal(f"event: a name of {len(name)} characters, at most {LONGEST_NAME} are allowed")
    _check_text(name, "event")
    return name


def _properties(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The event's own properties, flat. Traits of a person are not kept with the event."""
    if kind in ("identify", "alias"):
        return {}
    properties = dict(_object(message, "traits" if kind == "group" else "properties"))
    if kind == "group":
        group_id = _id(message, "groupId")
        if group_id is None:
            raise Refusal("groupId: a group message needs the group")
        properties["group_id"] = group_id
    elif kind in ("page", "screen"):
        for key in ("name", "category"):
            if isinstance(message.get(key), str):
                properties.setdefault(key, message[key])
        if "name" in properties:  # `event.name` is the event's name, so conditions need another word
            properties.setdefault(kind, properties["name"])
    return properties


def _context(message: Mapping[str, Any]) -> dict[str, Any]:
    context = message.get("context")
    if not isinstance(context, dict):
        return {}
    return {name: context[name] for name in ("externalIds", "device") if name in context}


def _confidence(message: Mapping[str, Any]) -> float | None:
    context = message.get("context")
    value = context.get("confidence") if isinstance(context, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refusal(f"context.confidence: expected a number from 0 to 1, got {_shown(value)}")
    return float(value)


def _traits(message: Mapping[str, Any]) -> dict[str, Any]:
    context = message.get("context")
    inherited = context.get("traits") if isinstance(context, dict) else None
    return {**(inherited if isinstance(inherited, dict) else {}), **_object(message, "traits")}


def _object(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(f"{key}: expected an object, got {_kind(value)}")
    return value


def _id(message: Mapping[str, Any], key: str) -> str | None:
    """An identifier as text; clients send whole numbers too."""
    value = message.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**LONGEST_ID:
        value = str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Refusal(f"{key}: expected text, got {_kind(value)}")
    if len(value) > LONGEST_ID:
        raise Refusal(f"{key}: {len(value)} characters, at most {LONGEST_ID} are allowed")
    _check_text(value, key)
    return value


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise Refusal(f"{where}: holds the character NUL, which cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(f"{where}: holds half of a surrogate pair, which is not text") from None


def _check_size(message: dict[Any, Any]) -> None:
    """Refuses what is nested too deep, too numerous, or no JSON, without recursion."""
    level: list[Any] = [message]
    depth = seen = 0
    while level:
        depth += 1
        seen += len(level)
        if depth > DEEPEST:
            raise Refusal(f"nested more than {DEEPEST} deep")
        if seen > MOST_VALUES:
            raise Refusal(f"more than {MOST_VALUES} values in one message")
        inside: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str or value is None or kind is bool:
                continue
            if kind is dict:
                inside.extend(value.values())
            elif kind is list:
                inside.extend(value)
            elif kind is float:
                if not math.isfinite(value):
                    raise Refusal(f"a number that JSON does not have: {value}")
            elif kind is not int:
                raise Refusal(f"expected JSON, found {kind.__name__}")
            elif value.bit_length() > 1024:
                raise Refusal("a number of more than 308 digits")
        level = inside


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    """A value in an error: short, and never a whole payload."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    return _kind(value)
