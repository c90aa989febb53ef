"""From a name in `kairos.yaml` to a checked adapter.

Adapters are found by the entry point group `kairos.channels`; a project may also name a class of its own as
`package.module:Class`. All of a channel's mistakes are reported together, each with its place in the file.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from channels.errors import ConfigurationError
from channels.pacing import Rate
from channels.port import ANY_CHANNEL, Adapter, Settings, Sink

GROUP = "kairos.channels"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@cache
def _entry_points() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Names of all installed adapters, sorted."""
    return sorted(_entry_points())


def find(name: str, path: str = "adapter") -> type[Adapter]:
    """The adapter class of this name. `path` names the place in an error."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found: object = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"{path}: cannot load {name!r}: {error}") from error
    else:
        point = _entry_points().get(name)
        if point is None:
            raise ConfigurationError(f"{path}: there is no adapter {name!r}{_instead(name, names())}")
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"{path}: adapter {name!r} does not load: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise ConfigurationError(
            f"{path}: {name!r} is not an adapter (a class derived from channels.Adapter)"
        )
    return found


def create(
    name: str,
    channel: str,
    settings: Mapping[str, Any] | None = None,
    sink: Sink | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    rate: str | None = None,
) -> Adapter:
    """The adapter for `channels.CHANNEL` of `kairos.yaml`, its settings checked, nothing opened.

    `${NAME}` in a setting is replaced from `environ` (the process's by default). `sink` is where `outbox`
    keeps messages. Raises `ConfigurationError`.
    """
    place = f"kairos.yaml: channels.{channel}"
    kind = find(name, f"{place}.adapter")
    if kind.channels != ANY_CHANNEL and channel not in kind.channels:
        served = ", ".join(sorted(kind.channels))
        raise ConfigurationError(f"{place}.adapter: {name!r} serves {served}, not {channel}")
    pace = None if rate is None else Rate.parse(rate, f"{place}.rate")
    checked = check_settings(
        kind.Settings, settings or {}, f"{place}.settings", os.environ if environ is None else environ
    )
    return kind(channel, checked, rate=pace, sink=sink)


def check_settings(
    kind: type[Settings], settings: Mapping[str, Any], path: str, environ: Mapping[str, str]
) -> Settings:
    """Settings with their variables filled in, checked. All mistakes in one `ConfigurationError`.

    The error names places and expectations, never the values: they may be secrets.
    """
    problems: list[str] = []
    filled = _fill(settings, path, environ, problems)
    if problems:
        raise ConfigurationError("\n".join(problems))
    try:
        return kind.model_validate(filled)
    except ValidationError as error:
        known = [f.alias or n for n, f in kind.model_fields.items()]
        for mistake in error.errors(include_input=False, include_url=False):
            where = ".".join([path, *(str(part) for part in mistake["loc"])])
            if mistake["type"] == "extra_forbidden":
                what = "there is no such setting" + _instead(str(mistake["loc"][-1]), known)
            elif mistake["type"] == "missing":
                what = "this setting is needed"
            else:
                what = mistake["msg"].removeprefix("Value error, ")
            problems.append(f"{where}: {what}")
        raise ConfigurationError("\n".join(problems)) from None


def _fill(value: Any, path: str, environ: Mapping[str, str], problems: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {k: _fill(v, f"{path}.{k}", environ, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, f"{path}.{i}", environ, problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _missing(value, environ):
        problems.append(f"{path}: the environment variable {name} is not set")
    return _VARIABLE.sub(lambda m: environ.get(m[1], ""), value)


def _missing(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    # An empty variable is a forgotten one: an empty password would only fail at the first send.
    return (m[1] for m in _VARIABLE.finditer(text) if not environ.get(m[1]))


def _instead(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (there are: {', '.join(sorted(known)) or 'none'})"
