"""Finding actions: Python files of a project, and installed packages."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from engine.sdk.action import Action, ActionMistake

GROUP: Final = "kairos.actions"


def discover(project: Path | None = None) -> dict[str, Action]:
    """Every action by name: those of `actions/*.py` in the project, and of the entry points `kairos.actions`
    (each names a module, or one action).

    Imports the files, so their code runs. Files whose name begins with `_` are only for the others to import.

    Raises:
        ActionMistake: a file cannot be imported, or two actions have one name.
    """
    found: dict[str, tuple[Action, str]] = {}
    for action, where in _all(project):
        known = found.get(action.name)
        if known is not None and known[0] is not action:
            raise ActionMistake(f"{where}: there is another action `{action.name}` in {known[1]}; rename one")
        found.setdefault(action.name, (action, where))
    return {name: action for name, (action, _) in found.items()}


def _all(project: Path | None) -> Iterator[tuple[Action, str]]:
    for entry in entry_points(group=GROUP):
        yield from _in_package(entry)
    if project is not None:
        for path in sorted((project / "actions").glob("*.py")):
            if not path.name.startswith("_"):
                yield from _in(_import(path), str(path))


def _in_package(entry: EntryPoint) -> Iterator[tuple[Action, str]]:
    where = f"entry point {entry.name} ({entry.value})"
    try:
        target: Any = entry.load()
    except ActionMistake:
        raise
    except Exception as error:
        raise ActionMistake(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if isinstance(target, Action):
        yield target, where
    elif isinstance(target, ModuleType):
        yield from _in(target, where)
    else:
        raise ActionMistake(f"{where} is neither a module nor an action")


def _in(module: ModuleType, where: str) -> Iterator[tuple[Action, str]]:
    for value in vars(module).values():
        if isinstance(value, Action):
            yield value, where


def _import(path: Path) -> ModuleType:
    # A name of our own: a project's `actions/json.py` must not stand in for the library's `json`.
    name = f"kairos_project_actions.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ActionMistake as error:
        raise ActionMistake(f"{path}: {error}") from error
    except Exception as error:
        raise ActionMistake(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
