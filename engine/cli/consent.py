"""`kairos consent`: what a customer agreed to, and putting a word of theirs into the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from engine.cli.erasure import CustomerArgument
from engine.cli.lookup import one_profile
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    instant,
    on_database,
    print_json,
    refuse,
    say,
    table,
)
from engine.ingest.consenting import Said, WrongConsent, record_consent
from engine.language.consents import named
from engine.language.types import parse_datetime
from engine.store import consents
from engine.store.consents import EVERY_CHANNEL, EVERY_PURPOSE, Consent

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

Category = Literal["marketing", "transactional"]
ChannelArgument = Annotated[str, typer.Argument(help="A channel; `marketing` for every channel.")]
PurposeOption = Annotated[
    str | None, typer.Option(help="One of the purposes of kairos.yaml; else all of them.", metavar="NAME")
]
CategoryOption = Annotated[Category, typer.Option(help="marketing or transactional.", metavar="NAME")]
SourceOption = Annotated[str, typer.Option(help="Where it was said.")]
TextOption = Annotated[str | None, typer.Option("--text-version", help="Which text the customer saw.")]
AtOption = Annotated[str | None, typer.Option(help="When; else now.", metavar="INSTANT")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="What customers agreed to, and withdrew.", no_args_is_help=True)
    for command in (show, grant, withdraw):
        group.command()(command)
    app.add_typer(group, name="consent")


def show(
    customer: CustomerArgument, project: ProjectOption = None, format: FormatOption = Format.text
) -> None:
    """Show a customer's ledger, oldest first, and what holds now."""

    async def work(database: AsyncEngine) -> tuple[list[Consent], dict[str, dict[tuple[str, str], bool]]]:
        async with database.connect() as connection:
            profile_id = (await one_profile(connection, customer)).id
            current = (await consents.current(connection, [profile_id]))[profile_id]
            now = {category: current.answers(category) for category in ("marketing", "transactional")}
            return await consents.history(connection, profile_id), now

    ledger, now = on_database("consent show", work)
    if format is Format.json:
        print_json({"ledger": [_data(each) for each in ledger], "now": _now(now)})
    elif ledger:
        say(table(("at", "said", "channel", "purpose", "category", "text", "source"), map(_row, ledger)))
        say(["", *(f"{each['category']}, {_words(each)}: {_yes(each['granted'])}" for each in _now(now))])
    else:
        typer.echo("nothing was ever said")


def grant(
    customer: CustomerArgument,
    channel: ChannelArgument,
    purpose: PurposeOption = None,
    category: CategoryOption = "marketing",
    source: SourceOption = "operator",
    text_version: TextOption = None,
    at: AtOption = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Record that a customer agreed."""
    _record("consent grant", customer, channel, True, purpose, category, source, text_version, at, format)


def withdraw(
    customer: CustomerArgument,
    channel: ChannelArgument,
    purpose: PurposeOption = None,
    category: CategoryOption = "marketing",
    source: SourceOption = "operator",
    text_version: TextOption = None,
    at: AtOption = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Record that a customer withdrew. With nothing left, their marketing journeys end."""
    _record("consent withdraw", customer, channel, False, purpose, category, source, text_version, at, format)


def _record(
    command: str,
    customer: str,
    word: str,
    granted: bool,
    purpose: str | None,
    category: Category,
    source: str,
    text_version: str | None,
    at: str | None,
    format: Format,
) -> None:
    channel, stated = named(word)
    said_at = None if at is None else parse_datetime(at)
    if at is not None and said_at is None:
        refuse(command, f"`{at[:60]}` is no instant, such as 2026-11-11T10:00+08:00")

    async def work(database: AsyncEngine) -> Consent:
        async with database.connect() as connection:
            profile_id = (await one_profile(connection, customer)).id
        said = Said(channel, granted, purpose or stated, category, source, text_version)
        try:
            return await record_consent(database, profile_id, said, said_at)
        except WrongConsent as error:
            raise CommandError(str(error)) from None

    kept = on_database(command, work)
    if format is Format.json:
        print_json(_data(kept))
    else:
        typer.echo(f"{_yes(granted)} to {_words(_data(kept))}, {category}")


def _yes(granted: bool) -> str:
    return "yes" if granted else "no"


def _words(entry: dict[str, Any]) -> str:
    channel = "every channel" if entry["channel"] == EVERY_CHANNEL else entry["channel"]
    return channel if entry["purpose"] == EVERY_PURPOSE else f"{channel} for {entry['purpose']}"


def _now(now: dict[str, dict[tuple[str, str], bool]]) -> list[dict[str, Any]]:
    return [
        {"category": category, "channel": channel, "purpose": purpose, "granted": granted}
        for category, answers in now.items()
        for (channel, purpose), granted in sorted(answers.items())
    ]


def _data(entry: Consent) -> dict[str, Any]:
    return {
        "at": entry.at,
        "granted": entry.granted,
        "channel": entry.channel,
        "purpose": entry.purpose,
        "category": entry.category,
        "text_version": entry.text_version,
        "source": entry.source,
    }


def _row(entry: Consent) -> tuple[str, ...]:
    texts = (entry.channel, entry.purpose, entry.category, entry.text_version or "-", entry.source or "-")
    return instant(entry.at), _yes(entry.granted), *texts
