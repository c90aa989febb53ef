"""`kairos webhooks`: how those stand that are told of changes."""

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
from engine.store import webhooks
from engine.store.webhooks import Standing

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


def status(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Show what each webhook is still to be told, and what was given up."""

    async def work(database: AsyncEngine) -> list[Standing]:
        async with database.connect() as connection:
            return await webhooks.standing(connection)

    found = on_database("webhooks status", work)
    if format is Format.json:
        print_json(
            [
                {
                    "webhook": each.webhook,
                    "declared": each.declared,
                    "waiting": each.waiting,
                    "failed": each.failed,
                    "oldest_at": each.oldest_at,
                    "error": each.error,
                }
                for each in found
            ]
        )
    elif found:
        rows = [
            (
                each.webhook if each.declared else f"{each.webhook} (not declared)",
                f"{each.waiting:,}",
                instant(each.oldest_at),
                f"{each.failed:,}",
                each.error or "-",
            )
            for each in found
        ]
        say(table(("webhook", "waiting", "since (UTC)", "failed", "last error"), rows))
    else:
        typer.echo("no webhooks: kairos.yaml declares them")


def retry(
    name: Annotated[str, typer.Argument(help="The webhook's name.")],
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Tell a webhook at once what was given up, or waits after a failure."""

    async def work(database: AsyncEngine) -> int:
        async with database.begin() as connection:
            known = {each.webhook: each for each in await webhooks.standing(connection)}
            if name not in known or not known[name].declared:
                raise CommandError(f"no webhook `{name}` is applied")
            return await webhooks.again(connection, name)

    found = on_database("webhooks retry", work)
    if format is Format.json:
        print_json({"webhook": name, "again": found})
    else:
        typer.echo(f"{found:,} to be told again")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="How those stand that are told of changes.", no_args_is_help=True)
    group.command("status")(status)
    group.command("retry")(retry)
    app.add_typer(group, name="webhooks")
