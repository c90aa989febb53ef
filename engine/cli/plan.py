"""`kairos plan` and `kairos apply`: what the folder would change against what is live, and doing it."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.applying import (
    Applied,
    Changes,
    JourneyChange,
    NotApplied,
    apply_project,
    find_changes,
    in_json,
)
from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project, read_project
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    on_database,
    print_json,
    refuse,
    say,
)
from engine.language.diagnostics import Diagnostic
from engine.language.listing import as_data, as_text
from engine.language.project import Project
from engine.sdk import ActionMistake

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


def plan(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Show what `kairos apply` would change against what is live, step by step."""
    _, found, files = _checked("plan", project, format)

    async def work(database: AsyncEngine) -> Changes:
        async with database.connect() as connection:
            return await find_changes(connection, found, files)

    changes = on_database("plan", work)
    if format is Format.json:
        print_json(in_json(changes))
    else:
        say(change_lines(changes))


def apply(
    project: ProjectOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    archive_missing: Annotated[
        bool, typer.Option("--archive-missing", help="Archive journeys that are no longer in the folder.")
    ] = False,
    format: FormatOption = Format.text,
) -> None:
    """Make the folder what runs: all of it, or nothing if there is a mistake.

    Asks before it does so if it runs in a terminal. Enrolments under way finish on the plan they began with.
    """
    folder, found, files = _checked("apply", project, format)

    async def work(database: AsyncEngine) -> Applied:
        if not yes and format is Format.text and sys.stdin.isatty():
            async with database.connect() as connection:
                changes = await find_changes(connection, found, files)
            say(change_lines(changes, archive_missing))
            if (changes.any or archive_missing) and not typer.confirm("Apply?"):
                raise CommandError("nothing was applied")
        return await apply_project(
            database, found, files, archive_missing=archive_missing, applied_by=_operator()
        )

    try:
        applied = on_database("apply", work)
    except NotApplied as error:
        refuse("apply", error)
    if format is Format.json:
        changed = {"digest": applied.digest, "live": applied.live, "archived": list(applied.archived)}
        print_json(in_json(applied.changes) | changed)
    else:
        say(applied_lines(applied, folder))


def _checked(command: str, project: Path | None, format: Format) -> tuple[Path, Project, dict[str, str]]:
    """The folder, read and checked. Its mistakes end the command with exit code 1, its warnings do not."""
    try:
        folder = find_project(project)
        files = read_project(folder)
        found = check_folder(folder)
    except (NoProject, ActionMistake) as error:
        refuse(command, error)
    if found.errors:
        _complain(command, found.errors, format)
    return folder, found, files


def _complain(command: str, errors: tuple[Diagnostic, ...], format: Format) -> None:
    typer.echo(as_text(errors), err=True, nl=False)
    typer.echo(f"kairos {command}: nothing was done, for the project has mistakes", err=True)
    if format is Format.json:
        print_json({"errors": as_data(errors)})
    raise typer.Exit(1)


def _operator() -> str | None:
    """Who applies, for the history of applies."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return None


# --- words ----------------------------------------------------------------------------------------------


def change_lines(changes: Changes, archive_missing: bool = False) -> Iterator[str]:
    """What would change, for people."""
    if not changes.any and not any(j.kind in ("missing", "archived") for j in changes.journeys):
        yield "Nothing to apply: what is live is what is in the folder."
        return
    for journey in changes.journeys:
        yield from _journey_lines(journey, archive_missing)
    same = sum(1 for j in changes.journeys if j.kind == "same")
    if same:
        yield f"{counted(same, 'journey')} without a change"
    if changes.files:
        yield ""
        yield from _file_lines(changes)


def _file_lines(changes: Changes) -> Iterator[str]:
    yield "Live at once, also for enrolments under way:"
    if changes.first:
        templates = [file for file in changes.files if file.path.startswith("templates/")]
        yield from (f"  {file.path}" for file in changes.files if file not in templates)
        if templates:
            yield f"  {counted(len(templates), 'file')} under templates/"
        return
    for file in changes.files:
        keys = f": {', '.join(file.keys)}" if file.keys else ""
        yield f"  {file.path} {'is ' if file.change != 'changed' else ''}{file.change}{keys}"


def _journey_lines(journey: JourneyChange, archive_missing: bool) -> Iterator[str]:
    match journey.kind:
        case "new":
            yield f"{journey.name}: new, goes live"
            yield f"  {journey.about}"
        case "changed":
            paused = ", stays paused" if journey.status == "paused" else ""
            yield f"{journey.name}: version {journey.version} → {journey.version + 1}{paused}"
            for difference in journey.differences:
                yield f"  {difference.text}"
            if not journey.differences:
                yield "  nothing that customers notice"
            yield f"  {_under_way(journey)}"
        case "missing":
            does = "will be archived" if archive_missing else "stays live; `--archive-missing` archives it"
            if journey.status == "paused" and not archive_missing:
                does = "stays paused; `--archive-missing` archives it"
            yield f"{journey.name}: no longer in the folder, {does}"
            yield f"  {_under_way(journey)}"
        case "archived":
            yield f"{journey.name}: archived, left as it is; `kairos resume {journey.name}` brings it back"
        case "same":
            pass


def _under_way(journey: JourneyChange) -> str:
    total = journey.under_way + journey.on_older_plans
    if not total:
        return "nobody is under way"
    older = f" ({journey.on_older_plans:,} on older versions)" if journey.on_older_plans else ""
    return f"{counted(total, 'enrolment')} under way{older}: they finish on the plan they began with"


def applied_lines(applied: Applied, folder: Path) -> Iterator[str]:
    """What was done, for people."""
    if not applied.changes.any and not applied.archived:
        yield "Nothing to apply: what is live is what is in the folder."
        return
    yield from change_lines(applied.changes, bool(applied.archived))
    yield ""
    names = ", ".join(applied.live) or "no journey"
    archived = f"; archived: {', '.join(applied.archived)}" if applied.archived else ""
    files = counted(len(applied.changes.files), "file")
    yield f"Applied {folder.name}: {names} live{archived}; {files} live at once."


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)
    app.command("apply")(apply)
