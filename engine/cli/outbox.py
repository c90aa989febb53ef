"""`kairos outbox`: messages that the `outbox` adapter kept instead of sending."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.lookup import one_enrolment
from engine.cli.session import Format, FormatOption, ProjectOption, instant, on_database, print_json, say
from engine.store import outbox
from engine.store.outbox import OutboxMessage

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

LOOK_EVERY: Final = 0.5


def show(
    channel: Annotated[str | None, typer.Option(help="Only of this channel.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Only to this address.")] = None,
    enrolment: Annotated[str | None, typer.Option(help="Only of this enrolment.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing new ones until Ctrl-C.")
    ] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show messages that were kept instead of sent, the newest last. With --follow JSON is one a line."""

    async def work(database: AsyncEngine) -> None:
        only = None
        if enrolment is not None:
            async with database.connect() as connection:
                only = (await one_enrolment(connection, enrolment)).id

        async def page(count: int) -> list[OutboxMessage]:
            async with database.connect() as connection:
                found = await outbox.find(
                    connection, channel=channel, address=to, enrolment_id=only, limit=count
                )
            return found[::-1]

        messages = await page(limit)
        if not follow:
            _print(messages, format)
            return
        last = 0
        while True:
            new = [message for message in messages if (message.id or 0) > last]
            for message in new:
                say(message_lines(message) if format is Format.text else [json.dumps(_data(message))])
            last = max([last, *[message.id or 0 for message in new]])
            await asyncio.sleep(LOOK_EVERY)
            messages = await page(1000)

    on_database("outbox", work)


def _print(messages: list[OutboxMessage], format: Format) -> None:
    if format is Format.json:
        print_json([_data(message) for message in messages])
    elif not messages:
        typer.echo("the outbox is empty")
    else:
        for message in messages:
            say(message_lines(message))


def _data(message: OutboxMessage) -> dict[str, Any]:
    data = asdict(message)
    return data | {name: v.isoformat() if (v := data[name]) else None for name in ("at", "created_at")}


def message_lines(message: OutboxMessage) -> Iterator[str]:
    """One message for people: a head line, then its parts."""
    where = f" ({message.template}, step {message.step})" if message.template else ""
    yield f"{instant(message.at or message.created_at)}  {message.channel} to {message.address}{where}"
    for part, text in message.parts.items():
        lines = text.strip().splitlines() or [""]
        yield f"    {part}: {lines[0]}"
        for line in lines[1:]:
            yield f"    {' ' * len(part)}  {line}"


def register(app: typer.Typer) -> None:
    app.command("outbox")(show)
