"""`kairos pause`, `kairos resume`, `kairos archive`: whether a journey runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    on_database,
    print_json,
)
from engine.ingest.operating import Action, CannotOperate, Operated, operate

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

Journey = Annotated[str, typer.Argument(help="The journey's name.")]


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
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("archive")(archive)
