"""`kairos check`: every mistake of a project, in one go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from channels import audiences
from channels.registry import examine, names
from engine.cli.project_folder import NoProject, find_project, read_project
from engine.content import TemplateProblem, TemplateScope, TemplateSet, check_message, check_paths
from engine.language.audience_rules import AudienceAdapters
from engine.language.diagnostics import Diagnostic
from engine.language.listing import as_json, as_sarif, as_text
from engine.language.project import Project, check_project
from engine.language.templating import ContentSetting, TemplateUse
from engine.sdk import ActionMistake
from engine.sdk.discovery import discover
from engine.simulator.content_rules import rules_of

AUDIENCES = AudienceAdapters(audiences.names(), audiences.examine)


class Format(StrEnum):
    """How the list is printed."""

    text = "text"
    json = "json"
    sarif = "sarif"


def content_checker(
    files: Mapping[str, str], uses: Sequence[TemplateUse], setting: ContentSetting
) -> Iterator[tuple[TemplateUse | None, TemplateProblem]]:
    """The template checks of `engine.content`, as `check_project` takes them."""
    templates = TemplateSet(files, setting.installation.locale, setting.variants)
    for problem in check_paths(templates):
        yield None, problem
    for use in uses:
        found: list[TemplateProblem] = []
        for rules in rules_of(setting.installation, use.channel, use.category):
            scope = TemplateScope(
                use.profile,
                use.trigger,
                use.event,
                use.answers,
                use.brand,
                use.extents,
                use.certain,
                rules,
            )
            found += check_message(templates, use.message, use.channel, scope)
        for problem in dict.fromkeys(found):
            yield use, problem


def check_folder(folder: Path) -> Project:
    """Read and check the project in this folder, with its templates and its actions.

    Raises:
        ActionMistake: a Python file of the project's actions cannot be used.
    """
    actions = {name: action.signature for name, action in discover(folder).items()}
    return check_project(read_project(folder), actions, content_checker, names(), examine, AUDIENCES)


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders to report on; all of the project if none.")
    ] = None,
    format: Annotated[Format, typer.Option(help="How the list is printed.")] = Format.text,
    project: Annotated[
        Path | None, typer.Option(help="The folder that holds kairos.yaml; else found upwards.")
    ] = None,
) -> None:
    """Check journeys, scenarios, templates and kairos.yaml.

    The whole project is always read, since its files lean on each other; PATHS choose whose mistakes are
    shown. Exit code 0: no mistake (warnings are none). 1: mistakes. 2: no project, or no such path.
    """
    try:
        folder = _folder(project, paths or [])
        shown = _under([_inside(path, folder) for path in paths or []], check_folder(folder).diagnostics)
    except (NoProject, ActionMistake) as error:
        typer.echo(f"kairos check: {error}", err=True)
        raise typer.Exit(2) from None
    write = {Format.text: as_text, Format.json: as_json, Format.sarif: as_sarif}[format]
    typer.echo(write(shown), nl=False)
    raise typer.Exit(1 if any(each.severity == "error" for each in shown) else 0)


def _folder(project: Path | None, paths: Sequence[Path]) -> Path:
    """The project: the one named, else the one around here, else the one around the first path."""
    try:
        return find_project(project)
    except NoProject:
        if project is not None or not paths:
            raise
        return find_project(start=paths[0])


def _inside(path: Path, folder: Path) -> str:
    """The path as diagnostics name it: inside the project, with `/`."""
    full = path.resolve() if path.exists() else (folder / path).resolve()
    if not full.exists():
        raise NoProject(f"there is no file or folder {path}")
    if not full.is_relative_to(folder):
        raise NoProject(f"{path} is not inside the project {folder}")
    return full.relative_to(folder).as_posix()


def _under(chosen: Sequence[str], found: Iterable[Diagnostic]) -> list[Diagnostic]:
    if not chosen or "." in chosen:
        return list(found)
    return [
        each
        for each in found
        if any(each.path == path or each.path.startswith(f"{path}/") for path in chosen)
    ]


def register(app: typer.Typer) -> None:
    app.command("check")(check)
