"""`kairos journeys`, `pause`, `resume`, `archive`: which journeys there are, and whether they run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.project_folder import NoProject, find_project, read_project
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    instant,
    on_database,
    print_json,
    refuse,
    say,
    table,
)
from engine.ingest.operating import Action, CannotOperate, Operated, operate
from engine.language.project import journey_name
from engine.store import enrolments, journeys, moments

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

Journey = Annotated[str, typer.Argument(help="The journey's name.")]


def listed(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """List journeys: draft (in the folder, never applied), live, paused or archived, and who is under way."""
    drafts = _in_folder(project)

    async def work(database: AsyncEngine) -> list[dict[str, Any]]:
        async with database.connect() as connection:
            known = await journeys.all_journeys(connection)
            counts = await enrolments.counts_by_digest(connection, known)
            looked = await moments.standing(connection)
        found = [
            {
                "journey": one.name,
                "status": one.status,
                "version": one.version,
                "digest": one.live_digest,
                "under_way": sum(counts.get(one.name, {}).values()),
                "moments_until": looked[one.name].ticked_until if one.name in looked else None,
                "moments": looked[one.name].recorded if one.name in looked else None,
            }
            for one in known.values()
        ]
        new = [name for name in drafts if name not in known]
        found += [
            {
                "journey": name,
                "status": "draft",
                "version": 0,
                "digest": None,
                "under_way": 0,
                "moments_until": None,
                "moments": None,
            }
            for name in new
        ]
        return sorted(found, key=lambda each: str(each["journey"]))

    found = on_database("journeys", work)
    if format is Format.json:
        print_json(found)
    elif not found:
        typer.echo("no journeys: `kairos apply` makes those of a folder live")
    else:
        rows = [
            (
                each["journey"],
                each["status"],
                str(each["version"] or "-"),
                f"{each['under_way']:,}",
                "-" if each["moments_until"] is None else instant(each["moments_until"]),
            )
            for each in found
        ]
        say(table(("journey", "status", "version", "under way", "moments until (UTC)"), rows))


def _in_folder(project: Path | None) -> list[str]:
    """Names of the folder's journeys; none where there is no folder, which is no mistake here."""
    try:
        folder = find_project(project)
    except NoProject as error:
        if project is not None:
            refuse("journeys", error)
        return []
    return [name for path in read_project(folder) if (name := journey_name(path)) is not None]


def pause(journey: Journey, project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Hold a journey: nobody enters, those under way wait where they are. Goals and exits still apply."""
    _operate(journey, "pause", format)


def resume(journey: Journey, project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Let a paused or archived journey run again. What became due meanwhile is done at a measured pace."""
    _operate(journey, "resume", format)


def archive(
    journey: Journey,
    end: Annotated[bool, typer.Option("--end", help="End those under way, exit `cancelled`.")] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Take a journey out of use: nobody enters any more. Those under way go on to their end."""
    _operate(journey, "archive", format, end)


def _operate(journey: str, action: Action, format: Format, end: bool = False) -> None:
    async def work(database: AsyncEngine) -> Operated:
        try:
            return await operate(database, journey, action, end=end)
        except CannotOperate as error:
            raise CommandError(str(error)) from None

    done = on_database(action, work)
    if format is Format.json:
        print_json(asdict(done))
    else:
        typer.echo(in_words(done, end))


def in_words(done: Operated, end: bool = False) -> str:
    """What was done, and what it means for those under way."""
    already = f" (it was {done.status} before)" if done.before == done.status else ""
    if not done.under_way:
        return f"{done.journey} is {done.status}{already}; nobody is under way"
    people = counted(done.under_way, "enrolment")
    match done.status:
        case "paused":
            fate = "held where they stand"
        case "archived":
            fate = "being ended" if end else "going on to their end"
        case _:
            fate = "going on"
    return f"{done.journey} is {done.status}{already}; {people} under way, {fate}"


def register(app: typer.Typer) -> None:
    app.command("journeys")(listed)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("archive")(archive)
