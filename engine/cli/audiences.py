"""`kairos audiences`: how advertising audiences stand, and what their providers refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    instant,
    on_database,
    print_json,
    say,
    table,
)
from engine.store import audiences
from engine.store.audiences import Standing

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


def status(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Show who is on each audience, what waits, and what was refused."""

    async def work(database: AsyncEngine) -> list[Standing]:
        async with database.connect() as connection:
            return await audiences.standing(connection)

    found = on_database("audiences status", work)
    if format is Format.json:
        names = Standing.__slots__
        print_json([{name: getattr(each, name) for name in names} for each in found])
    elif found:
        rows = [
            (
                each.audience,
                f"{each.members:,}",
                f"{each.waiting:,}",
                instant(each.waiting_since_at),
                f"{each.failed:,}",
                f"{each.skipped:,}",
                instant(each.called_at),
                each.error or "-",
            )
            for each in found
        ]
        heads = ("audience", "members", "waiting", "since (UTC)", "failed", "skipped", "last call (UTC)")
        say(table((*heads, "last error"), rows))
    else:
        typer.echo("nothing was ever put on an audience")


def retry(
    name: Annotated[str, typer.Argument(help="The audience's name.")],
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Make at once what was refused, or waits after a failure."""

    async def work(database: AsyncEngine) -> int:
        async with database.begin() as connection:
            if name not in {each.audience for each in await audiences.standing(connection)}:
                raise CommandError(f"nothing was ever put on an audience `{name}`")
            return await audiences.again(connection, name)

    found = on_database("audiences retry", work)
    if format is Format.json:
        print_json({"audience": name, "again": found})
    else:
        typer.echo(f"{found:,} to be made again")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="How advertising audiences stand.", no_args_is_help=True)
    group.command("status")(status)
    group.command("retry")(retry)
    app.add_typer(group, name="audiences")
