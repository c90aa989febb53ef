"""From a name in `kairos.yaml` to a checked adapter.

Adapters are found by the entry point group `kairos.channels`; a project may also name a class of its own as
`package.module:Class`. All of a channel's mistakes are reported together, each with its place in the file.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pydantic import BaseModel

from channels.errors import ConfigurationError
from channels.pacing import Rate
from channels.port import ANY_CHANNEL, Adapter, Settings, Sink
from channels.settings import SettingMistake, fill, find_mistakes
from channels.tokens import TokenStore

GROUP = "kairos.channels"

T = TypeVar("T")


@cache
def installed(group: str = GROUP) -> Mapping[str, EntryPoint]:
    """The adapters of an entry point group, by name."""
    return {point.name: point for point in entry_points(group=group)}


def names() -> list[str]:
    """Names of all installed adapters, sorted."""
    return sorted(installed())


def find(name: str, path: str = "adapter") -> type[Adapter]:
    """The adapter class of this name. `path` names the place in an error."""
    return load(name, path, GROUP, Adapter)  # type: ignore[type-abstract]


def load(name: str, path: str, group: str, base: type[T]) -> type[T]:
    """The class of this name in an entry point group, or `package.module:Class`, derived from `base`."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found: object = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"{path}: cannot load {name!r}: {error}") from error
    else:
        point = installed(group).get(name)
        if point is None:
            known = sorted(installed(group))
            raise ConfigurationError(f"{path}: there is no adapter {name!r}{_instead(name, known)}")
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"{path}: adapter {name!r} does not load: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigurationError(
            f"{path}: {name!r} is not an adapter (a class derived from channels.{base.__name__})"
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
    tokens: TokenStore | None = None,
    place: str | None = None,
) -> Adapter:
    """The adapter for `channels.CHANNEL` of `kairos.yaml`, its settings checked, nothing opened.

    `place` is where it stands there, if it is not that: for mistakes.

    `${NAME}` in a setting is replaced from `environ` (the process's by default). `sink` is where `outbox`
    keeps messages, `tokens` where access tokens are kept for all processes. Raises `ConfigurationError`.
    """
    place = f"kairos.yaml: {place or f'channels.{channel}'}"
    kind = find(name, f"{place}.adapter")
    if not serves(kind, channel):
        served = ", ".join(sorted(kind.channels))
        raise ConfigurationError(f"{place}.adapter: {name!r} serves {served}, not {channel}")
    pace = None if rate is None else Rate.parse(rate, f"{place}.rate")
    checked = check_settings(
        kind.Settings, settings or {}, f"{place}.settings", os.environ if environ is None else environ
    )
    return kind(channel, checked, rate=pace, sink=sink, tokens=tokens)


def check_settings(
    kind: type[Settings], settings: Mapping[str, Any], path: str, environ: Mapping[str, str]
) -> Settings:
    """Settings with their variables filled in, checked. All mistakes in one `ConfigurationError`.

    The error names places and expectations, never the values: they may be secrets.
    """
    problems: list[str] = []
    filled = fill(settings, path, environ, problems)
    if problems:
        raise ConfigurationError("\n".join(problems))
    for mistake in find_mistakes(kind, filled):
        where = ".".join([path, *map(str, mistake.path)])
        instead = _instead(str(mistake.path[-1]), list(mistake.known)) if mistake.fault == "unknown" else ""
        problems.append(f"{where}: {mistake.message}{instead}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return kind.model_validate(filled)


def examine(name: str, channel: str, settings: Mapping[str, Any]) -> list[SettingMistake]:
    """What a worker would refuse at its start, as far as that can be known before and elsewhere.

    `settings` are as in `kairos.yaml`, with their references. An adapter that is not here, or whose settings
    are not declared by a model, is not judged.
    """
    own = ":" in name
    if not own and name not in installed():
        return []
    try:
        kind = find(name)
    except Exception as error:  # whatever its module does when it is imported: the check goes on
        return [] if own else [SettingMistake("broken", (), str(error.__cause__ or type(error).__name__))]
    if not serves(kind, channel):
        served = tuple(sorted(kind.channels))
        return [SettingMistake("channel", (), f"it serves {', '.join(served)}", known=served)]
    declared: object = kind.Settings
    if not (isinstance(declared, type) and issubclass(declared, BaseModel)):
        return []
    try:
        return find_mistakes(declared, settings, elsewhere=True)
    except Exception:  # a rule of its own that stumbles over a reference: the worker has the value
        return []


def serves(kind: type[Adapter], channel: str) -> bool:
    return kind.channels == ANY_CHANNEL or channel in kind.channels


def _instead(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (there are: {', '.join(sorted(known)) or 'none'})"
