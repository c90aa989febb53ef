"""The `@action` decorator and what it makes of a function."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar, Union, overload

from engine.language.actions import ActionSignature

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_TYPES: Final[dict[Any, str]] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    datetime: "datetime",
    date: "date",
    list: "list",
    dict: "object",
    Mapping: "object",
    Any: "any",
    object: "any",
}
_TAKEN: Final = "str, int, float, bool, date, datetime, list, dict, Any, or one of them with `| None`"


class ActionMistake(Exception):
    """An action is not written as it must be. Raised when its file is imported."""


class Refused(Exception):
    """Raise it in an action to fail its step for good, without another try. The text is kept as the reason,
    so it must hold nothing personal."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a failed call is repeated. Pauses double from `first` up to `longest`."""

    most: int = 5
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=1)

    def pause(self, attempts: int) -> timedelta | None:
        """How long to wait after so many failed calls; None to give up."""
        if attempts > self.most:
            return None
        return min(self.longest, self.first * float(2 ** min(attempts - 1, 30)))


@dataclass(frozen=True, slots=True)
class ActionContext:
    """For which step an action runs. `key` is the same at every call for this enrolment and step."""

    key: str
    enrolment_id: str
    step: str
    external_id: str | None = field(default=None, repr=False)
    at: datetime | None = None
    """The logical instant at which the step began."""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Input:
    """One typed input. `kind` is the Python type that the function asked for."""

    type: str
    required: bool
    nullable: bool
    kind: Any


@dataclass(frozen=True, slots=True)
class Action:
    """A function that journeys can use as a step. Calling it calls the function."""

    name: str
    function: Callable[..., Any]
    inputs: dict[str, Input]
    takes_context: bool
    retries: Retries
    timeout: timedelta
    doc: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def signature(self) -> ActionSignature:
        """What `kairos check` needs to know."""
        inputs = {name: (given.type, given.required) for name, given in self.inputs.items()}
        return ActionSignature(self.name, inputs, self.doc)


F = TypeVar("F", bound=Callable[..., Any])


@overload
def action(function: F, /) -> Action: ...
@overload
def action(
    name: str | None = None,
    *,
    retries: int | Retries = ...,
    timeout: float | timedelta = ...,
) -> Callable[[F], Action]: ...
def action(
    name: Any = None,
    *,
    retries: int | Retries = 5,
    timeout: float | timedelta = 30.0,
) -> Any:
    """Make a function a step: `action: {name: …, with: {…}}`.

    The name is the function's unless given. `retries` counts calls after the first; `timeout` (seconds)
    bounds each call. Inputs are the function's parameters, typed by their annotations; one annotated
    `ActionContext` gets the context. What it returns must be JSON of at most 8 KB.

    Raises:
        ActionMistake: the name, an annotation, or a limit is not usable.
    """
    if callable(name):
        return _build(name, None, retries, timeout)
    return lambda function: _build(function, name, retries, timeout)


def _build(
    function: Callable[..., Any], name: str | None, retries: int | Retries, timeout: float | timedelta
) -> Action:
    where = f"{function.__module__}.{function.__qualname__}"
    known = name or function.__name__
    if not _NAME.fullmatch(known):
        raise ActionMistake(
            f"{where}: {known!r} is no name for an action; expected lower case letters, digits, `_ . -`"
        )
    length = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
    if length <= timedelta(0):
        raise ActionMistake(f"{where}: the time-out must be longer than zero")
    policy = retries if isinstance(retries, Retries) else Retries(most=retries)
    if policy.most < 0:
        raise ActionMistake(f"{where}: retries must be zero or more")
    inputs, takes_context = _inputs(function, where)
    return Action(known, function, inputs, takes_context, policy, length, inspect.getdoc(function) or "")


def _inputs(function: Callable[..., Any], where: str) -> tuple[dict[str, Input], bool]:
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ActionMistake(f"{where}: an annotation cannot be read: {error}") from error
    inputs: dict[str, Input] = {}
    takes_context = False
    for place, parameter in enumerate(inspect.signature(function).parameters.values()):
        hint = hints.get(parameter.name)
        if hint is ActionContext:
            if place != 0:
                raise ActionMistake(f"{where}: the ActionContext must be the first parameter")
            takes_context = True
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ActionMistake(
                f"{where}: `{parameter.name}` cannot be an input; name each input, without `*` or `/`"
            )
        if hint is None:
            raise ActionMistake(f"{where}: input `{parameter.name}` has no annotation; expected {_TAKEN}")
        inputs[parameter.name] = _input(hint, parameter.default is parameter.empty, parameter.name, where)
    return inputs, takes_context


def _input(hint: Any, required: bool, name: str, where: str) -> Input:
    kind, nullable = hint, hint is Any
    if typing.get_origin(hint) in (Union, types.UnionType):
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        nullable = len(arms) < len(typing.get_args(hint))
        kind = arms[0] if len(arms) == 1 else float if set(arms) == {int, float} else hint
    kind = typing.get_origin(kind) or kind
    if kind not in _TYPES:
        raise ActionMistake(f"{where}: input `{name}` is annotated {hint!r}; expected {_TAKEN}")
    return Input(_TYPES[kind], required, nullable, kind)
