"""`kairos init`: a new project that passes `kairos check` and `kairos test` as it is."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer

from engine.cli.project_folder import MARKER
from engine.cli.session import Format, FormatOption, print_json, refuse
from engine.language.editor_schema import editor_schema

SCHEMAS: Final = ("journey", "catalog", "scenarios", "kairos")
# Kept under names without a dot: tools that pack or copy folders pass hidden files over.
_PLACES: Final = {"settings.json": ".vscode/settings.json", "gitignore": ".gitignore"}
_KEPT: Final = ("README.md", ".gitignore", ".vscode/settings.json")
"""Files that a folder may have already; they stay as they are."""


def init(
    directory: Annotated[
        Path, typer.Argument(help="The new project's folder; made if it is not there.")
    ] = Path(),
    schemas: Annotated[
        bool, typer.Option("--schemas", help="Only write the editors' schemas of this version anew.")
    ] = False,
    format: FormatOption = Format.text,
) -> None:
    """Make a new project: one journey with its scenario and templates, ready to check, test and run.

    Touches no file that is there: a README or editor settings stay as they are, and if another file is in
    the way nothing is written. Exit code 2.
    """
    new = schema_files() if schemas else project_files()
    try:
        if not schemas:
            _refuse_existing(directory, new)
            new = {path: text for path, text in new.items() if not _kept(directory, path)}
        for path, text in new.items():
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        refuse("init", f"{error.filename or directory}: {error.strerror}")
    if format is Format.json:
        print_json({"project": str(directory.resolve()), "files": sorted(new)})
        return
    typer.echo(f"{'Schemas' if schemas else 'A new project'} in {directory.resolve()}")
    if not schemas:
        into = "" if directory == Path() else f"cd {directory} && "
        typer.echo(f"Next: {into}kairos check && kairos test && kairos dev")


def project_files() -> dict[str, str]:
    """Every file of a new project, path to text."""
    scaffold = files("engine.cli") / "scaffold"
    found = {_PLACES.get(path, path): text for path, text in _texts(scaffold).items()}
    return found | schema_files()


def schema_files() -> dict[str, str]:
    """The schemas for editors, path to text."""
    return {
        f".kairos/{name}.schema.json": json.dumps(editor_schema(name), ensure_ascii=False, indent=1) + "\n"
        for name in SCHEMAS
    }


def _texts(folder: Traversable, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found |= _texts(entry, f"{prefix}{entry.name}/")
        else:
            found[prefix + entry.name] = entry.read_text(encoding="utf-8")
    return found


def _refuse_existing(directory: Path, new: dict[str, str]) -> None:
    if directory.exists() and not directory.is_dir():
        refuse("init", f"{directory} is a file; name a folder")
    if (directory / MARKER).exists():
        refuse("init", f"{directory.resolve()} is a project already: it holds {MARKER}")
    there = [path for path in new if (directory / path).exists() and not _kept(directory, path)]
    if there:
        refuse("init", f"{directory.resolve()} has {', '.join(there)} already; nothing was written")


def _kept(directory: Path, path: str) -> bool:
    return path in _KEPT and (directory / path).exists()


def register(app: typer.Typer) -> None:
    app.command("init")(init)
