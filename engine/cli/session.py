"""What commands on a database share: opening it, ending with words instead of tracebacks, printing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.cells import cell_len

from engine.cli.project_folder import NoProject
from engine.sdk import ActionMistake
from engine.store.database import (
    DatabaseError,
    check,
    current_revision,
    head_revision,
    open_database,
    upgrade,
)
from engine.store.embedded import EmbeddedPostgres, EmbeddedPostgresError

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

T = TypeVar("T")


class Format(StrEnum):
    """How results are printed."""

    text = "text"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is printed.")]
ProjectOption = Annotated[
    Path | None, typer.Option("--project", help="The folder that holds kairos.yaml; else found upwards.")
]


class CommandError(Exception):
    """The command cannot do what it was asked; the text says why and what to do. Exit code 2."""


def on_database(command: str, work: Callable[[AsyncEngine], Awaitable[T]], *, migrated: bool = True) -> T:
    """Runs `work` on the database of this installation, and ends the command in words if it cannot.

    A database that was never migrated is, if it is the embedded one; `migrated=False` leaves it as it is.
    """
    try:
        return asyncio.run(_run(work, migrated))
    except (CommandError, NoProject, ActionMistake, DatabaseError, EmbeddedPostgresError) as error:
        refuse(command, error)


def refuse(command: str, why: object) -> NoReturn:
    """Ends the command with exit code 2."""
    typer.echo(f"kairos {command}: {why}", err=True)
    raise typer.Exit(2)


async def _run(work: Callable[[AsyncEngine], Awaitable[T]], migrated: bool) -> T:
    embedded = not os.environ.get("DATABASE_URL")
    database = await asyncio.to_thread(open_database)
    try:
        await check(database)
        if migrated:
            await _bring_up(database, embedded)
        return await work(database)
    finally:
        await database.dispose()
        if embedded:
            # Only a server that nobody else uses stops: `kairos dev` counts as a user of its own.
            await asyncio.to_thread(EmbeddedPostgres().release)


async def _bring_up(database: AsyncEngine, embedded: bool) -> None:
    found, wanted = await current_revision(database), head_revision()
    if found == wanted:
        return
    if found is None and embedded:
        await upgrade(database)
        return
    state = "has no tables yet" if found is None else f"is at revision {found}, this Kairos needs {wanted}"
    raise CommandError(f"the database {state}: run `kairos db upgrade`")


# --- printing -------------------------------------------------------------------------------------------


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def instant(value: datetime | None) -> str:
    """An instant for people, in UTC; `-` for none."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value is not None else "-"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 enrolment`, `2 enrolments`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Lines of a table with columns as wide as they need; the last is not padded."""
    listed = [list(titles), *[list(row) for row in rows]]
    widths = [max(cell_len(row[place]) for row in listed) for place in range(len(listed[0]))]
    for row in listed:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def say(lines: Iterable[str]) -> None:
    """Lines on stdout."""
    for line in lines:
        typer.echo(line)
