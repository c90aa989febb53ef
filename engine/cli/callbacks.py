"""`kairos callbacks`: what providers called us with, as far as it is not worked off."""

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
from engine.store import heard
from engine.store.heard import HeardRow, Standing

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

ChannelOption = Annotated[str | None, typer.Option("--channel", help="Only this channel.")]


def status(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """Show how much waits and how much is parked, by channel and reason."""

    async def work(database: AsyncEngine) -> list[Standing]:
        async with database.connect() as connection:
            return await heard.standing(connection)

    found = on_database("callbacks status", work)
    if format is Format.json:
        names = ("channel", "adapter", "kind", "state", "reason", "count", "oldest_at")
        print_json([{name: getattr(each, name) for name in names} for each in found])
    elif found:
        rows = [
            (
                each.channel,
                each.adapter,
                each.kind,
                each.state,
                f"{each.count:,}",
                instant(each.oldest_at),
                each.reason or "-",
            )
            for each in found
        ]
        say(table(("channel", "adapter", "kind", "state", "count", "since (UTC)", "reason"), rows))
    else:
        typer.echo("nothing waits and nothing is parked")


def parked(
    channel: ChannelOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 50,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show what was given up, the latest first; nothing of what people wrote."""

    async def work(database: AsyncEngine) -> list[tuple[HeardRow, str | None]]:
        async with database.connect() as connection:
            return await heard.parked(connection, channel, limit)

    found = on_database("callbacks parked", work)
    if format is Format.json:
        print_json(
            [
                {
                    "id": row.id,
                    "channel": row.channel,
                    "adapter": row.adapter,
                    "kind": row.kind,
                    "about": _about(row),
                    "received_at": row.received_at,
                    "reason": reason,
                }
                for row, reason in found
            ]
        )
    elif found:
        rows = [
            (str(row.id), row.channel, row.kind, _about(row), instant(row.received_at), reason or "-")
            for row, reason in found
        ]
        say(table(("id", "channel", "kind", "about", "received (UTC)", "reason"), rows))
    else:
        typer.echo("nothing is parked")


def _about(row: HeardRow) -> str:
    """The state that a receipt tells, or the event's name, and the provider's name for its message."""
    told = row.payload.get("state") or row.payload.get("name") or "?"
    message = row.payload.get("provider_id") or row.payload.get("key")
    return f"{told} of {message}" if message else str(told)


def retry(
    id: Annotated[int | None, typer.Argument(help="Its number; without it, all that are parked.")] = None,
    channel: ChannelOption = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Try once more what was given up."""

    async def work(database: AsyncEngine) -> int:
        async with database.begin() as connection:
            count = await heard.again(connection, channel, id)
            if id is not None and not count:
                raise CommandError(f"nothing with the number {id} is parked")
            return count

    found = on_database("callbacks retry", work)
    if format is Format.json:
        print_json({"again": found})
    else:
        typer.echo(f"{found:,} to be tried again")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="What providers called us with.", no_args_is_help=True)
    group.command("status")(status)
    group.command("parked")(parked)
    group.command("retry")(retry)
    app.add_typer(group, name="callbacks")
