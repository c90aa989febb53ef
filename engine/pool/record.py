"""The state of an enrolment as its row keeps it: small, since there may be tens of millions.

What the enrolment's own row and its plan say already is left out, instants are microseconds since entry, and
fields that are as in a new state are not written.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from engine.core import wire
from engine.core.advance import begin
from engine.core.plan import Plan
from engine.core.state import State
from engine.store.enrolments import Enrolment
from engine.store.pool import STEP, VARIANTS

_NAMES: Final = {
    "phase": "p",
    "at": "a",
    "expires_at": "x",
    "step": STEP,
    "begun_at": "b",
    "before_at": "f",
    "timer": "t",
    "moved_by": "m",
    "ask_id": "k",
    "asked": "d",
    "attempt": "n",
    "late": "l",
    "paused": "z",
    "variants": VARIANTS,
    "inbox": "i",
    "queue": "q",
    "noted": "o",
    "seen": "e",
    "exit": "y",
    "ended_at": "w",
}
"""Short names, so that they cost little. `enrolment_id key holdout entered_at` are the row's own."""
_INSTANTS: Final = frozenset({"at", "expires_at", "begun_at", "before_at", "timer", "ended_at"})
_MICROSECOND: Final = timedelta(microseconds=1)
_PLAIN: Final = State("", "")

assert {*_NAMES, "enrolment_id", "key", "holdout", "entered_at"} == {field.name for field in fields(State)}


@dataclass(slots=True)
class Kept:
    """What a row keeps. `lines`: how many lines of its trace are stored. `retry_at`: wall, when the open
    command is to be tried again. `faults`: how often in a row it could not be worked on."""

    state: State
    lines: int = 0
    retry_at: datetime | None = None
    faults: int = 0


def fresh(row: Enrolment) -> Kept:
    """That of an enrolment that has not begun."""
    return Kept(begin(row.id, row.profile_key, row.trigger_event_id or row.id, holdout=row.holdout))


def pack(kept: Kept, row: Enrolment, plan: Plan) -> bytes:
    state, epoch = kept.state, row.entered_at
    left_out = {
        "expires_at": epoch + plan.max_age,
        "variants": row.variants,
        "seen": (row.trigger_event_id or row.id,),
    }
    data: dict[str, Any] = {}
    for name, short in _NAMES.items():
        value = getattr(state, name)
        if value == left_out.get(name, getattr(_PLAIN, name)):
            continue
        if name in _INSTANTS and value is not None:
            value = (value - epoch) // _MICROSECOND
        elif name in ("inbox", "queue"):
            value = [wire.to_json(event) for event in value]
        elif name == "late":
            value = value // _MICROSECOND
        data[short] = value
    if kept.lines:
        data["N"] = kept.lines
    if kept.retry_at is not None:
        data["R"] = kept.retry_at.isoformat()
    if kept.faults:
        data["F"] = kept.faults
    return orjson.dumps(data)


def unpack(stored: bytes, row: Enrolment, plan: Plan) -> Kept:
    """What `pack` wrote for the same enrolment and plan."""
    data, epoch = orjson.loads(stored), row.entered_at
    state = fresh(row).state
    begun = _NAMES["phase"] in data  # that of one that has not begun is as in a new state
    state.entered_at = epoch if begun else None
    state.expires_at = epoch + plan.max_age
    state.variants = dict(row.variants)
    for name, short in _NAMES.items():
        if short not in data:
            continue
        value = data[short]
        if name in _INSTANTS and value is not None:
            value = epoch + value * _MICROSECOND
        elif name in ("inbox", "queue"):
            value = tuple(wire.input_from_json(item) for item in value)
        elif name == "late":
            value = value * _MICROSECOND
        elif name == "seen":
            value = tuple(value)
        setattr(state, name, value)
    retry_at = data.get("R")
    return Kept(state, data.get("N", 0), retry_at and datetime.fromisoformat(retry_at), data.get("F", 0))
