"""A plan as JSON data and back, its canonical form and its digest.

Lengths are seconds. Steps are a list, because their order means something and not every store keeps the
order of keys. Fields at their default are left out, so that a field added later does not change the digest
of a plan that does not use it; a default must therefore never change its meaning.

The canonical form holds all of the plan, title and places too: a digest names one exact text of a journey,
comments and layout aside.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from typing import Any

from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Condition,
    Effect,
    Goal,
    Message,
    Plan,
    Split,
    Step,
    Stop,
    Trigger,
    Variant,
    WaitEvent,
    WaitInstant,
    WaitLength,
    WaitTime,
    WaitWindow,
)

_STEPS: dict[str, type[Any]] = {
    "wait_length": WaitLength,
    "wait_time": WaitTime,
    "wait_instant": WaitInstant,
    "wait_window": WaitWindow,
    "wait_event": WaitEvent,
    "message": Message,
    "branch": Branch,
    "split": Split,
    "effect": Effect,
    "stop": Stop,
}
_LENGTHS = frozenset(
    {"length", "offset", "up_to", "within", "settle", "quiet_for", "max_age", "max_lateness"}
)


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _number(length: timedelta) -> int | float:
    seconds = length.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _out(value: Any) -> Any:
    if isinstance(value, timedelta):
        return _number(value)
    if isinstance(value, tuple):
        return [_out(item) for item in value]
    if isinstance(value, Goal | Condition | Trigger | Arm | Case | Variant):
        return _object(value)
    return value


def _object(value: Any) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name != "kind" and item == _default(field) and type(item) is type(_default(field)):
            continue
        data[field.name] = _out(item)
    return data


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON data; `plan_from_json` gives an equal plan back."""
    data = _object(plan)
    data["steps"] = [_object(step) for step in plan.steps.values()]
    return data


def plan_from_json(data: dict[str, Any]) -> Plan:
    """The plan that `plan_to_json` wrote.

    Raises:
        KeyError: a field without a default is missing, or a step is of an unknown kind.
        TypeError: there is a field that plans do not have.
    """
    values = _in(data)
    values["trigger"] = _trigger(data["trigger"])
    steps = [_step(item) for item in data["steps"]]
    values["steps"] = {step.id: step for step in steps}
    # PostgreSQL's `jsonb` puts an object's members in an order of its own; places are in file order.
    places = data.get("path", {})
    values["path"] = {step.id: places[step.id] for step in steps if step.id in places} | places
    if "goal" in data:
        goal = data["goal"]
        values["goal"] = Goal(Condition(**goal["when"]), timedelta(seconds=goal["within"]))
    values["exit_events"] = tuple(Condition(**item) for item in data.get("exit_events", ()))
    values["exit_rules"] = tuple((place, rule) for place, rule in data.get("exit_rules", ()))
    return Plan(**values)


def _in(data: dict[str, Any]) -> dict[str, Any]:
    return {
        name: timedelta(seconds=value) if name in _LENGTHS and value is not None else value
        for name, value in data.items()
    }


def _trigger(data: dict[str, Any]) -> Trigger:
    values = _in(data)
    if "unless" in values:
        values["unless"] = Condition(**values["unless"])
    if isinstance(values.get("reenter"), int | float):
        values["reenter"] = timedelta(seconds=values["reenter"])
    return Trigger(**values)


def _step(data: dict[str, Any]) -> Step:
    values = _in(data)
    cls = _STEPS[values.pop("kind")]
    for name in ("days", "channels"):
        if name in values:
            values[name] = tuple(values[name])
    if "arms" in values:
        values["arms"] = tuple(Arm(Condition(**arm["when"]), arm["goto"]) for arm in values["arms"])
    if "cases" in values:
        values["cases"] = tuple(Case(**case) for case in values["cases"])
    if "variants" in values:
        values["variants"] = tuple(Variant(**variant) for variant in values["variants"])
    step: Step = cls(**values)
    return step


def canonical(plan: Plan) -> bytes:
    """The one byte sequence that stands for the plan: JSON, keys sorted, no spaces, UTF-8."""
    data = plan_to_json(plan)
    return json.dumps(
        data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def digest(plan: Plan) -> str:
    """The plan's version: SHA-256 of its canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(plan)).hexdigest()
