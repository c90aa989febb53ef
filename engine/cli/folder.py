"""A project folder on disk, found, read and checked, as `test`, `simulate` and `preview` need it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project, read_project
from engine.language.project import Project


class FolderError(NoProject):
    """There is no project, or not what was named of it."""


@dataclass(frozen=True, slots=True)
class Folder:
    root: Path
    files: dict[str, str]
    """Path inside the project to text."""
    project: Project


def open_folder(start: Path | None) -> Folder:
    """Finds, reads and checks a project.

    Raises:
        NoProject: it cannot be found. Mistakes inside it are `project.diagnostics`.
        engine.sdk.ActionMistake: a file of actions cannot be imported.
    """
    root = find_project(start)
    return Folder(root, read_project(root), check_folder(root))
