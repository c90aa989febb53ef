"""`kairos tag`: tags by hand."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

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
from engine.customers import tags
from engine.language.lengths import parse_length
from engine.store import clock

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

TagArgument = Annotated[str, typer.Argument(help="A tag of the catalogue that was applied.")]
CustomersArgument = Annotated[
    list[str], typer.Argument(help="Any identifiers, KIND:VALUE, or profile ids.", metavar="CUSTOMER...")
]


def add(
    tag: TagArgument,
    customers: CustomersArgument,
    expires: Annotated[
        str | None, typer.Option(help="Goes after so long, such as 30d; else as the catalogue says.")
    ] = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Give customers a tag."""
    length = None
    if expires is not None and not (length := parse_length(expires)):
        refuse("tag add", f"`{expires}` is not a length of time; expected such as 30d or 12h")
    _change("tag add", tag, customers, given=True, expires=length, format=format)


def remove(
    tag: TagArgument,
    customers: CustomersArgument,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Take a tag away from customers."""
    _change("tag remove", tag, customers, given=False, expires=None, format=format)


def _change(
    command: str, tag: str, customers: list[str], *, given: bool, expires: timedelta | None, format: Format
) -> None:
    async def work(database: AsyncEngine) -> list[str]:
        async with database.begin() as connection:
            at = (await clock.load(connection)).now()
            found = [(await one_profile(connection, customer)).id for customer in customers]
            try:
                for profile_id in dict.fromkeys(found):
                    await tags.change(
                        connection,
                        profile_id,
                        at,
                        give=[tag] if given else [],
                        take=[] if given else [tag],
                        by=_operator(),
                        expires=expires,
                    )
            except tags.TagError as error:
                raise CommandError(str(error)) from None
        return list(dict.fromkeys(found))

    done = on_database(command, work)
    if format is Format.json:
        print_json({"tag": tag, "profiles": done})
    else:
        typer.echo(f"{counted(len(done), 'customer')} {'given' if given else 'without'} {tag}")


def _operator() -> str | None:
    """Who does it, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return None


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Give customers tags, and take them away.", no_args_is_help=True)
    group.command("add")(add)
    group.command("remove")(remove)
    app.add_typer(group, name="tag")
