"""`kairos db`: the database of this installation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from engine.cli.session import Format, FormatOption, ProjectOption, on_database, print_json
from engine.store.database import current_revision, head_revision
from engine.store.database import upgrade as migrate

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


def upgrade(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Make the tables, or bring them up to what this version of Kairos needs."""

    async def work(database: AsyncEngine) -> tuple[str | None, str | None]:
        before = await current_revision(database)
        await migrate(database)
        return before, await current_revision(database)

    before, after = on_database("db upgrade", work, migrated=False)
    if format is Format.json:
        print_json({"before": before, "revision": after})
    else:
        typer.echo(f"already at {after}" if before == after else f"{before or 'empty'} → {after}")


def status(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Say which database it is and whether it is up to date. Exit code 1 if it is not."""

    async def work(database: AsyncEngine) -> dict[str, str | bool | None]:
        found = await current_revision(database)
        return {
            "database": _where(),
            "url": database.url.render_as_string(hide_password=True),
            "revision": found,
            "newest": head_revision(),
            "up_to_date": found == head_revision(),
        }

    found = on_database("db status", work, migrated=False)
    if format is Format.json:
        print_json(found)
    else:
        typer.echo(f"{found['database']}: {found['url']}")
        if found["up_to_date"]:
            typer.echo(f"up to date at revision {found['revision']}")
        else:
            have = found["revision"] or "no tables yet"
            typer.echo(f"{have}, newest is {found['newest']}: run `kairos db upgrade`")
    raise typer.Exit(0 if found["up_to_date"] else 1)


def url(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Print the address of the database, password included, for `psql` and other tools."""

    async def work(database: AsyncEngine) -> str:
        return database.url.set(drivername="postgresql").render_as_string(hide_password=False)

    found = on_database("db url", work, migrated=False)
    if format is Format.json:
        print_json({"url": found})
    else:
        typer.echo(found)


def _where() -> str:
    return "from DATABASE_URL" if os.environ.get("DATABASE_URL") else "embedded"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The database of this installation.", no_args_is_help=True)
    group.command("upgrade")(upgrade)
    group.command("status")(status)
    group.command("url")(url)
    app.add_typer(group, name="db")
