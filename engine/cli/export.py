"""`kairos export`: customers out, as CSV or JSON lines."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from engine.cli.segment import group_of
from engine.cli.session import CommandError, ProjectOption, counted, on_database, refuse
from engine.customers.applied import applied
from engine.customers.exporting import CannotExport, export, fields_of, head, lines

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


class Layout(StrEnum):
    """What the file is."""

    csv = "csv"
    jsonl = "jsonl"


def export_(
    segment: Annotated[
        str | None, typer.Argument(help="A segment of the catalogue that was applied.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="A condition instead of a segment.", metavar="EXPR")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All customers.")] = False,
    fields: Annotated[
        str | None, typer.Option(help="NAME,NAME,…; else the usual ones.", metavar="NAMES")
    ] = None,
    personal: Annotated[
        bool, typer.Option("--personal", help="With addresses and what the catalogue marks personal.")
    ] = False,
    layout: Annotated[
        Layout | None, typer.Option("--as", help="What it is written as; else by the name of the file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file; else to stdout.")
    ] = None,
    project: ProjectOption = None,
) -> None:
    """Export the customers of a segment, one a line."""
    if sum((segment is not None, where is not None, everybody)) != 1:
        refuse("export", "expected a segment, or one of --where and --all")
    chosen = layout or (Layout.jsonl if output and output.suffix in (".jsonl", ".ndjson") else Layout.csv)
    wanted = None if fields is None else [name.strip() for name in fields.split(",") if name.strip()]

    async def work(database: AsyncEngine) -> int:
        async with database.connect() as connection:
            group = await group_of(connection, segment, "true" if everybody else where)
            known = await applied(connection)
        try:
            names = fields_of(known.catalogue, wanted, personal)
        except CannotExport as error:
            raise CommandError(str(error).replace("`personal`", "--personal")) from None
        count = 0

        async def write(out: TextIO) -> int:
            nonlocal count
            out.write(head(chosen.value, names))
            async for some in export(database, group, names):
                out.write(lines(chosen.value, names, some))
                count += len(some)
            return count

        if output is None:
            return await write(sys.stdout)
        try:
            with output.open("w", encoding="utf-8", newline="") as out:
                return await write(out)
        except OSError as error:
            raise CommandError(f"{output}: {error.strerror or error}") from None

    found = on_database("export", work)
    if output is not None:
        typer.echo(f"{counted(found, 'customer')} in {output}", err=True)


def register(app: typer.Typer) -> None:
    app.command("export")(export_)
