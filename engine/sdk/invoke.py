"""One call of an action: inputs checked, time bounded, answer checked."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any, Final

from engine.language.types import Value, coerce
from engine.sdk.action import Action, ActionContext, Input, Refused

ANSWER_LIMIT: Final = 8 * 1024
"""Bytes of an answer as JSON text."""


def checked_inputs(action: Action, values: Mapping[str, Value]) -> dict[str, Any]:
    """`values` as the function wants them.

    Raises:
        Refused: one is unknown, missing, or of another type. Trying again cannot help.
    """
    unknown = sorted(values.keys() - action.inputs.keys())
    if unknown:
        raise Refused(f"action {action.name} has no input `{unknown[0]}`")
    given: dict[str, Any] = {}
    for name, wanted in action.inputs.items():
        if name not in values:
            if wanted.required:
                raise Refused(f"action {action.name} needs the input `{name}`")
            continue
        given[name] = _typed(action.name, name, wanted, values[name])
    return given


def _typed(action: str, name: str, wanted: Input, value: Value) -> Any:
    if value is None:
        if wanted.nullable:
            return None
        raise Refused(f"action {action}: the input `{name}` is null; expected {wanted.type}")
    if wanted.type == "any":
        return value
    read = coerce(value, wanted.type)
    if wanted.kind is int and isinstance(read, float):
        read = int(read) if read.is_integer() else None
    if wanted.kind is float and isinstance(read, int):
        read = float(read)
    if read is None:
        # Not the value itself: it may be personal.
        raise Refused(f"action {action}: the input `{name}` is no {wanted.type}")
    return read


def checked_answer(answer: Any) -> Any:
    """`answer` as JSON data.

    Raises:
        Refused: it is no JSON, or over 8 KB.
    """
    try:
        text = json.dumps(answer, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"the answer is no JSON: {type(error).__name__}") from None
    if len(text.encode("utf-8", "replace")) > ANSWER_LIMIT:
        raise Refused("the answer is larger than 8 KB")
    return json.loads(text)


async def invoke(action: Action, values: Mapping[str, Value], context: ActionContext) -> Any:
    """Call the function once and return its answer as JSON data.

    Raises:
        Refused: it can never succeed.
        TimeoutError: the call took longer than the action allows. A thread that runs a plain function cannot
            be stopped: it runs on, its answer is dropped.
        Exception: whatever the function raised.
    """
    given = checked_inputs(action, values)
    arguments = (context,) if action.takes_context else ()
    call = functools.partial(action.function, *arguments, **given)
    async with asyncio.timeout(action.timeout.total_seconds()):
        if inspect.iscoroutinefunction(action.function):
            answer = await call()
        else:
            answer = await asyncio.to_thread(contextvars.copy_context().run, call)
    return checked_answer(answer)
