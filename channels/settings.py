"""Settings held against what their adapter declares: by a worker at its start, by `kairos check` before that.

`Adapter.Settings` is the one declaration for both. The worker has its environment, so every `${NAME}` is
filled in and everything is judged. The check runs on another machine, perhaps without a single variable set:
there a value that contains `${NAME}` counts as given and is not judged, nor are rules over all settings while
there is one, nor whether a file exists. No mistake quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

T = TypeVar("T")
Path = tuple[str | int, ...]
Fault = Literal[
    "unknown",  # there is no such setting
    "missing",  # a setting that is needed is not there; `path` names it
    "alone",  # a setting whose other half is not there; `path` names what is there
    "kind",  # another kind of value is needed
    "choice",  # not among the values possible
    "limits",  # a number outside its limits
    "secret",  # a secret, written out
    "refused",  # a rule of the adapter's own; with an empty `path` one over all settings
    "channel",  # the adapter does not serve this channel
    "broken",  # the adapter is installed and does not load
]


@dataclass(frozen=True, slots=True)
class SettingMistake:
    fault: Fault
    path: Path
    """Keys and positions inside `settings`, as written."""
    message: str
    expected: str | None = None
    known: tuple[str, ...] = ()
    """What could stand there instead, names of settings or values; with `alone` what is missing."""


_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "`true` or `false`",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "path": "a path",
}
_KIND = re.compile(r"([a-z]+)_(type|parsing|from_float|attributes_type)")
_LIMITS = {
    "greater_than": ("gt", "a number above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "a number below"),
    "less_than_equal": ("le", "at most"),
}
_OF_THE_MACHINE = {
    "path_not_file": "there is no such file",
    "path_not_directory": "there is no such folder",
}


def find_mistakes(
    kind: type[BaseModel], settings: Mapping[str, Any], *, elsewhere: bool = False
) -> list[SettingMistake]:
    """Every departure of the settings from their declaration.

    `elsewhere`: they are looked at as written, with their references, and not where they will be used.
    """
    open_ends = list(_references(settings)) if elsewhere else []
    found = list(_alone(kind, settings))
    secrets = list(_secrets(kind, settings)) if elsewhere else []
    found += secrets
    try:
        kind.model_validate(settings)
    except ValidationError as error:
        judged = {mistake.path for mistake in secrets}
        for each in error.errors(include_input=False, include_url=False):
            mistake = _mistake(kind, settings, each)
            about_keys = mistake.fault in ("unknown", "missing")
            if elsewhere and not about_keys:
                if each["type"] in _OF_THE_MACHINE or mistake.path[:1] in judged:
                    continue
                if any(_touch(mistake.path, reference) for reference in open_ends):
                    continue
            found.append(mistake)
    return list(_one_a_place(found))


def fill(value: Any, path: str, environ: Mapping[str, str], problems: list[str]) -> Any:
    """The value with its references filled in; those to variables that are not set go to `problems`."""
    if isinstance(value, Mapping):
        return {k: fill(v, f"{path}.{k}", environ, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, f"{path}.{i}", environ, problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    # An empty variable is a forgotten one: an empty password would only fail at the first send.
    missing = [m[1] for m in VARIABLE.finditer(value) if not environ.get(m[1])]
    problems += [f"{path}: the environment variable {name} is not set" for name in missing]
    return VARIABLE.sub(lambda m: environ.get(m[1], ""), value)


def _references(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _references(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _references(inner, (*path, index))
    elif isinstance(value, str) and VARIABLE.search(value):
        yield path


def _touch(one: Path, other: Path) -> bool:
    """Whether one lies inside the other."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _alone(kind: type[BaseModel], settings: Mapping[str, Any]) -> Iterator[SettingMistake]:
    # Asked of the keys and not of the model: it must hold of settings whose values are not known.
    groups: Sequence[tuple[str, ...]] = getattr(kind, "together", ())
    for group in groups:
        given = [name for name in group if settings.get(name) is not None]
        if given and len(given) < len(group):
            missing = tuple(name for name in group if name not in given)
            message = f"{' and '.join(group)} go together, and {' and '.join(missing)} is missing"
            yield SettingMistake("alone", (given[0],), message, known=missing)


def _secrets(kind: type[BaseModel], settings: Mapping[str, Any]) -> Iterator[SettingMistake]:
    for name, value in settings.items():
        field = _field(kind, name)
        if field is None or not _mentions(field.annotation, (SecretStr, SecretBytes)):
            continue
        if value not in (None, "") and next(_references(value), None) is None:
            yield SettingMistake("secret", (name,), "a secret comes from the environment")


def _mistake(kind: type[BaseModel], settings: Mapping[str, Any], error: ErrorDetails) -> SettingMistake:
    sort, place = error["type"], error["loc"]
    message = _OF_THE_MACHINE.get(sort) or error["msg"].removeprefix("Value error, ")
    context = error.get("ctx", {})
    if sort == "extra_forbidden":
        known = _names(_model(kind, place[:-1]))
        return SettingMistake("unknown", place, "there is no such setting", known=known)
    if sort == "missing":
        field = _field(_model(kind, place[:-1]), str(place[-1]))
        about = field.description if field is not None else None
        return SettingMistake("missing", place, "this setting is needed", about)
    path = _inside(settings, place)
    if sort in ("literal_error", "enum"):
        known = tuple(re.findall(r"'([^']+)'", str(context.get("expected", ""))))
        return SettingMistake("choice", path, message, known=known)
    if sort in _LIMITS:
        key, words = _LIMITS[sort]
        return SettingMistake("limits", path, message, f"{words} {context[key]:g}")
    if (of_kind := _KIND.fullmatch(sort)) is not None and of_kind[1] in _KINDS:
        return SettingMistake("kind", path, message, _KINDS[of_kind[1]])
    if message.startswith("expected "):
        return SettingMistake("refused", path, message, message.removeprefix("expected "))
    return SettingMistake("refused", path, message)


def _inside(settings: Any, place: Path) -> Path:
    """As much of the place as the settings have: the rest names forms of a union, or that a key is meant."""
    for depth, part in enumerate(place):
        has = part in settings if isinstance(settings, Mapping) else _is_position(settings, part)
        if not has:
            return place[:depth]
        settings = settings[part]
    return place


def _is_position(value: Any, part: str | int) -> bool:
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _one_a_place(found: Sequence[SettingMistake]) -> Iterator[SettingMistake]:
    """A value that fits no form of a union is one mistake, not one for each form."""
    values: dict[Path, list[SettingMistake]] = {}
    for mistake in found:
        if mistake.fault in ("kind", "choice", "limits", "refused") and mistake.path:
            values.setdefault(mistake.path, []).append(mistake)
        else:
            yield mistake
    for forms in values.values():
        first, *others = forms
        if not others:
            yield first
            continue
        yield replace(
            first,
            fault=first.fault if all(each.fault == first.fault for each in others) else "refused",
            message="; or ".join(dict.fromkeys(each.message for each in forms)),
            expected=" or ".join(dict.fromkeys(filter(None, map(_expectation, forms)))) or None,
            known=tuple(name for each in forms for name in each.known),
        )


def _expectation(mistake: SettingMistake) -> str | None:
    return mistake.expected or ", ".join(f"`{name}`" for name in mistake.known)


def _names(kind: type[BaseModel] | None) -> tuple[str, ...]:
    return () if kind is None else tuple(f.alias or name for name, f in kind.model_fields.items())


def _field(kind: type[BaseModel] | None, name: str) -> FieldInfo | None:
    fields = {} if kind is None else kind.model_fields
    return next((f for own, f in fields.items() if name in (f.alias, own)), None)


def _model(kind: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model that declares what stands at the path; None where none does."""
    found: type[BaseModel] | None = kind
    for part in path:
        if isinstance(part, str):
            field = _field(found, part)
            found = next(_types(field.annotation, BaseModel), None) if field is not None else None
    return found


def _mentions(annotation: Any, kinds: tuple[type, ...]) -> bool:
    return any(next(_types(annotation, kind), None) is not None for kind in kinds)


def _types(annotation: Any, kind: type[T]) -> Iterator[type[T]]:
    if isinstance(annotation, type) and issubclass(annotation, kind):
        yield annotation
    for inner in get_args(annotation):
        yield from _types(inner, kind)
