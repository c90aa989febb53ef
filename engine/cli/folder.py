"""A project folder on disk, as the commands see it: found, read, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.language.project import Project, check_project
from engine.sdk.discovery import discover

MARKER: Final = "kairos.yaml"
LARGEST_FILE: Final = 1_000_000
"""Bytes. Files of a project are written by hand; a larger one is a mistake."""
_PATTERNS: Final = (MARKER, "journeys/**/*.yaml", "templates/**/*.j2")


class FolderError(Exception):
    """There is no project where one was looked for, or a file of it cannot be read."""


@dataclass(frozen=True, slots=True)
class Folder:
    root: Path
    files: dict[str, str]
    """Path inside the project to text."""
    project: Project


def find_root(start: Path | None) -> Path:
    """The folder that holds `kairos.yaml`: `start` itself if given, else the nearest one upwards from here.

    Raises:
        FolderError: there is none.
    """
    if start is not None:
        if not (start / MARKER).is_file():
            raise FolderError(f"{start} holds no {MARKER}: give the project's folder, or run `kairos init`")
        return start.resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return folder
    raise FolderError(f"no {MARKER} in {here} or above it: use --project DIR, or run `kairos init`")


def read_files(root: Path) -> dict[str, str]:
    """Every file of the project that Kairos reads, by its path with `/`.

    Raises:
        FolderError: a file is no text, or too large.
    """
    found: dict[str, str] = {}
    for pattern in _PATTERNS:
        for path in sorted(root.glob(pattern)):
            if not path.is_file():
                continue
            name = path.relative_to(root).as_posix()
            if path.stat().st_size > LARGEST_FILE:
                raise FolderError(f"{name}: larger than {LARGEST_FILE} bytes, which no journey needs")
            try:
                found[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise FolderError(f"{name}: not UTF-8 at byte {error.start}") from None
            except OSError as error:
                raise FolderError(f"{name}: {error.strerror}") from None
    return found


def open_folder(start: Path | None) -> Folder:
    """Finds, reads and checks a project.

    Raises:
        FolderError: it cannot be found or read. Mistakes inside it are `project.diagnostics`.
        engine.sdk.ActionMistake: a file of actions cannot be imported.
    """
    root = find_root(start)
    files = read_files(root)
    signatures = {name: action.signature for name, action in discover(root).items()}
    return Folder(root, files, check_project(files, signatures))
