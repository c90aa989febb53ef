"""A project's folder on disk: found upwards, read as text."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from engine.language.attachments import BINARY, MOST_BYTES

MARKER = "kairos.yaml"
LARGEST = 1_000_000
"""Bytes of a file that are read; what is longer is refused by the checker anyway."""

_FOLDERS = {"journeys": (".yaml", ".yml"), "templates": (".j2", ".yaml")}


class NoProject(Exception):
    """There is no project where one was looked for."""


def find_project(folder: Path | None = None, *, start: Path | None = None) -> Path:
    """The project folder: the one named, else the nearest one upwards from `start` or here.

    Raises:
        NoProject: there is none.
    """
    if folder is not None:
        if not folder.is_dir():
            raise NoProject(f"there is no folder {folder}")
        if not (folder / MARKER).is_file():
            raise NoProject(f"{folder} is no project: it holds no {MARKER}")
        return folder.resolve()
    here = (start or Path.cwd()).resolve()
    for each in (here, *here.parents):
        if (each / MARKER).is_file():
            return each
    raise NoProject(
        f"no {MARKER} in {here} or above it: name the project with --project, or make one with `kairos init`"
    )


def read_project(folder: Path) -> dict[str, str]:
    """Path inside the folder, with `/`, to text, of everything that belongs to a project.

    What messages attach comes as base64. Elsewhere bytes that are not UTF-8 come as U+FFFD, a NUL before the
    first, for the checker to report.
    """
    files = {MARKER: _read(folder / MARKER)} if (folder / MARKER).is_file() else {}
    for name, endings in _FOLDERS.items():
        for path in sorted(_files(folder / name)):
            if path.name.endswith(endings):
                files[path.relative_to(folder).as_posix()] = _read(path)
    for path in sorted(_files(folder / "templates" / "_files")):
        files[path.relative_to(folder).as_posix()] = _read_bytes(path)
    return files


def _read_bytes(path: Path) -> str:
    with path.open("rb") as file:
        return BINARY + base64.b64encode(file.read(MOST_BYTES + 1)).decode()


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _read(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(LARGEST)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        text = raw[: error.start].decode() + "\0" + raw[error.start :].decode(errors="replace")
    return text.replace("\r\n", "\n")
