"""State, inputs and trace as JSON data: what crosses a process, a history or a table.

Instants are ISO 8601 text in UTC, lengths are seconds. Reading back gives an equal value.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

from engine.core.commands import Trace
from engine.core.inputs import (
    Answered,
    Control,
    Due,
    Ended,
    Entered,
    EntryState,
    EventSeen,
    Input,
    Settled,
    Triggered,
    UnlessSeen,
)
from engine.core.state import State

_INSTANTS: Final = frozenset(
    {
        "at",
        "occurred_at",
        "until",
        "entered_at",
        "expires_at",
        "begun_at",
        "before_at",
        "timer",
        "ended_at",
        "pending_at",
        "due_at",
    }
)
_KINDS: Final[dict[str, type[Any]]] = {
    "entered": Entered,
    "event_seen": EventSeen,
    "due": Due,
    "answered": Answered,
    "settled": Settled,
    "control": Control,
    "triggered": Triggered,
    "unless_seen": UnlessSeen,
    "ended": Ended,
    "trace": Trace,
}
_NAMES: Final = {
    cls: tuple(field.name for field in fields(cls)) for cls in (*_KINDS.values(), State, EntryState)
}


def _out(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple | list):
        return [_out(item) for item in value]
    if isinstance(value, EventSeen | Trace):
        return to_json(value)
    return value


def to_json(value: Input | Trace | State | EntryState | Triggered | UnlessSeen | Ended) -> dict[str, Any]:
    """JSON data of an input, a trace entry, a state or an entry state. Empty fields are left out."""
    data: dict[str, Any] = {}
    for name in _NAMES[type(value)]:
        item = getattr(value, name)
        if item is None or item == () or item == {}:
            continue
        data[name] = _out(item)
    return data


def _read(data: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(item) if name in _INSTANTS and isinstance(item, str) else item
        for name, item in data.items()
    }


def input_from_json(data: dict[str, Any]) -> Any:
    """The input or trace entry that `to_json` made; its `kind` says which.

    Raises:
        KeyError: the kind is unknown.
    """
    values = _read(data)
    cls = _KINDS[values.pop("kind")]
    for name in ("held", "values"):
        if name in values:
            values[name] = tuple(values[name])
    if cls is Answered:
        values.setdefault("values", ())
    if "passed_over" in values:
        values["passed_over"] = tuple((channel, reason) for channel, reason in values["passed_over"])
    return cls(**values)


def state_from_json(data: dict[str, Any]) -> State:
    values = _read(data)
    for name in ("inbox", "queue"):
        values[name] = tuple(input_from_json(item) for item in values.get(name, ()))
    values["seen"] = tuple(values.get("seen", ()))
    values["late"] = timedelta(seconds=values.get("late", 0))
    return State(**values)


def entry_from_json(data: dict[str, Any]) -> EntryState:
    values = _read(data)
    values["contested"] = tuple(
        (event_id, datetime.fromisoformat(occurred_at), datetime.fromisoformat(entry_at))
        for event_id, occurred_at, entry_at in values.get("contested", ())
    )
    return EntryState(**values)
