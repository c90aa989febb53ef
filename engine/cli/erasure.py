"""`kairos export-person`, `kairos erase`, `kairos unsuppress`: what a person may ask for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.lookup import one_profile
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    on_database,
    print_json,
    refuse,
)
from engine.customers.applied import identity_rules
from engine.customers.lookup import spellings
from engine.ingest.erasure import Erased, erase_person, export_person
from engine.store import suppressions

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

CustomerArgument = Annotated[str, typer.Argument(help="Any identifier, KIND:VALUE, or a profile id.")]


def export(
    customer: CustomerArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file; else to stdout.")
    ] = None,
    project: ProjectOption = None,
) -> None:
    """Export everything that is kept about one person, as JSON."""

    async def work(database: AsyncEngine) -> dict[str, Any]:
        async with database.connect() as connection:
            return await export_person(connection, (await one_profile(connection, customer)).id)

    found = on_database("export-person", work)
    text = json.dumps(found, ensure_ascii=False, indent=2, default=str)
    if output is None:
        typer.echo(text)
        return
    output.write_text(text + "\n", encoding="utf-8")
    rows = sum(len(each) for each in found.values() if isinstance(each, list))
    typer.echo(f"{counted(rows, 'row')} in {output}", err=True)


def erase(
    customer: CustomerArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Erase a person: what runs ends, what is personal goes, their addresses are not used again."""
    if not yes and not sys.stdin.isatty():
        refuse("erase", "nobody can be asked here: --yes erases for good")
    if not yes and not typer.confirm(f"Erase {customer} for good?"):
        raise typer.Exit(1)

    async def work(database: AsyncEngine) -> Erased:
        async with database.connect() as connection:
            profile_id = (await one_profile(connection, customer)).id
        return await erase_person(database, profile_id)

    done = on_database("erase", work)
    if format is Format.json:
        print_json(
            {
                "profile_id": done.profile_id,
                "ended": done.ended,
                "suppressed": done.suppressed,
                "touched": done.touched,
                "sending": done.sending,
            }
        )
        return
    typer.echo(
        f"profile {done.profile_id} is erased: {counted(done.ended, 'enrolment')} ended, "
        f"{counted(done.suppressed, 'address', 'addresses')} suppressed"
    )
    if done.sending:
        typer.echo(
            f"{counted(done.sending, 'message')} still being sent: what that leaves is erased by a worker",
            err=True,
        )


def unsuppress(
    address: Annotated[str, typer.Argument(help="KIND:VALUE, such as email:ida@example.com.")],
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Let messages go to an address again whose owner was erased and asks for them."""
    kind, colon, value = address.partition(":")

    async def work(database: AsyncEngine) -> int:
        if not (colon and kind and value):
            raise CommandError(f"{address}: expected KIND:VALUE, such as email:ida@example.com")
        async with database.begin() as connection:
            rules = await identity_rules(connection)
            return await suppressions.lift(connection, spellings(kind, value, rules))

    if not on_database("unsuppress", work):
        typer.echo("kairos unsuppress: that address is not suppressed", err=True)
        raise typer.Exit(1)
    if format is Format.json:
        print_json({"address": address, "suppressed": False})
    else:
        typer.echo("messages may go there again")


def register(app: typer.Typer) -> None:
    app.command("export-person")(export)
    app.command("erase")(erase)
    app.command("unsuppress")(unsuppress)
