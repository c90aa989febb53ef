"""`kairos keys`: API keys. A key is shown once, when it is made."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

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
from engine.store import keys
from engine.store.keys import ApiKey, NewKey

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


class Scope(StrEnum):
    """What a key may do: send events, read everything, or everything."""

    ingest = "ingest"
    read = "read"
    manage = "manage"


def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as `web shop`.")],
    scope: Annotated[Scope, typer.Option(help="What it may do.")] = Scope.ingest,
    source: Annotated[
        str | None, typer.Option(help="The source of events that come in with it; else the key's name.")
    ] = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Make a key and print it. It cannot be shown again."""

    async def work(database: AsyncEngine) -> NewKey:
        async with database.begin() as connection:
            return await keys.create(connection, name, scope.value, source)

    made = on_database("keys create", work)
    if format is Format.json:
        print_json(_data(made.key) | {"token": made.token})
    else:
        typer.echo(made.token)
        typer.echo(f"{scope.value} key {made.key.id} for {name}; it is not shown again", err=True)


def listed(project: ProjectOption = None, format: FormatOption = Format.text) -> None:
    """List all keys, without their secrets."""

    async def work(database: AsyncEngine) -> list[ApiKey]:
        async with database.connect() as connection:
            return await keys.all_keys(connection)

    found = on_database("keys list", work)
    if format is Format.json:
        print_json([_data(key) for key in found])
        return
    rows = [
        (
            key.id,
            key.scope,
            f"{key.prefix}…",
            instant(key.created_at),
            f"revoked {instant(key.revoked_at)}" if key.revoked_at else "in use",
            key.name,
        )
        for key in found
    ]
    say(table(("id", "scope", "key", "made (UTC)", "state", "name"), rows) if rows else ["no keys yet"])


def revoke(
    key: Annotated[str, typer.Argument(help="The id of the key, as `kairos keys list` shows it.")],
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Revoke a key at once."""

    async def work(database: AsyncEngine) -> bool:
        try:
            key_id = str(uuid.UUID(key))
        except ValueError:
            raise CommandError(f"{key} is no key id; `kairos keys list` shows them") from None
        async with database.begin() as connection:
            return await keys.revoke(connection, key_id)

    if not on_database("keys revoke", work):
        typer.echo(
            f"kairos keys revoke: there is no key {key} in use; `kairos keys list` shows them", err=True
        )
        raise typer.Exit(2)
    if format is Format.json:
        print_json({"id": key, "revoked": True})
    else:
        typer.echo(f"{key} is revoked")


def _data(key: ApiKey) -> dict[str, Any]:
    return asdict(key)


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="API keys.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(listed)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")
