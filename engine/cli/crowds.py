"""`kairos crowds`, and what `kairos enter` does with many customers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.cli.crowd_file import read_list, write_rejects
from engine.cli.segment import group_of
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
from engine.core.identity import crowd_workflow_id
from engine.ingest import crowds as asking
from engine.ingest.manual import EntryRefused, NoCampaign, enterable, refuse_undeclared
from engine.store import crowds
from engine.store.crowds import Crowd

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

LOOK: Final = 0.2
"""Seconds between two looks at how far it is."""
PATIENCE: Final = 5.0
"""Seconds after which it is said that nobody takes it up."""


@dataclass(frozen=True, slots=True)
class Who:
    """All, or who has a tag, who is on a list, in a segment, for whom a condition holds; or those whom a
    campaign is for."""

    tag: str | None = None
    file: Path | None = None
    segment: str | None = None
    where: str | None = None
    campaign: bool = False


def enter_crowd(journey: str, who: Who, given: Mapping[str, Any], *, detach: bool, format: Format) -> None:
    """Asks for a crowd, shows how far it is until it is over, and ends the command."""

    async def work(database: AsyncEngine) -> tuple[Crowd, Path | None]:
        try:
            asked, rejects = await _ask(database, journey, who, given)
        except NoCampaign as error:
            ways = "a customer, or one of --all, --tag, --segment, --where and --file"
            raise CommandError(f"{error}: {ways}") from None
        except EntryRefused as error:
            raise CommandError(str(error)) from None
        return (asked if detach else await _follow(database, asked)), rejects

    found, rejects = on_database("enter", work)
    if format is Format.json:
        print_json(crowd_data(found) | {"rejects": None if rejects is None else str(rejects)})
    else:
        say(crowd_lines(found, rejects))
    raise typer.Exit(1 if found.status in ("cancelled", "failed") else 0)


async def _ask(
    database: AsyncEngine, journey: str, who: Who, given: Mapping[str, Any]
) -> tuple[Crowd, Path | None]:
    async with database.begin() as connection:
        if who.file is None:
            group = None
            if who.segment is not None or who.where is not None:
                group = await group_of(connection, who.segment, who.where)
            asked = await asking.ask(
                connection, journey, given, tag=who.tag, group=group, campaign=who.campaign
            )
            return asked.crowd, None
        _, plan = await enterable(connection, journey)
        refuse_undeclared(plan, given)  # before a long list is looked up
        try:
            return await _ask_list(connection, journey, who.file, given)
        except UnicodeDecodeError:
            raise CommandError(f"{who.file} is not text in UTF-8") from None
        except OSError as error:
            raise CommandError(f"{error.filename or who.file}: {error.strerror or error}") from None


async def _ask_list(
    connection: AsyncConnection, journey: str, path: Path, given: Mapping[str, Any]
) -> tuple[Crowd, Path | None]:
    unreadable = sum(line.named is None for line in read_list(path))
    listed = (line.named for line in read_list(path) if line.named is not None)
    with _bar() as bar:
        task = bar.add_task("looking up the list", total=None)
        asked = await asking.ask(
            connection,
            journey,
            given,
            listed=listed,
            unreadable=unreadable,
            heard=lambda count: bar.update(task, completed=count),
        )
    rejects = write_rejects(path, read_list(path), asked.not_one)
    if not asked.crowd.total:
        why = "it is empty" if rejects is None else f"{rejects} says why"
        raise CommandError(f"no line of {path} leads to a customer: {why}")
    return asked.crowd, rejects


async def _follow(database: AsyncEngine, crowd: Crowd) -> Crowd:
    """Shows how far it is until it is over. Ctrl-C ends only the showing."""
    loop = asyncio.get_running_loop()
    quiet_until: float | None = loop.time() + PATIENCE
    try:
        with _bar() as bar:
            task = bar.add_task(crowd.journey, total=crowd.total)
            while not crowd.over:
                await asyncio.sleep(LOOK)
                async with database.connect() as connection:
                    crowd = await crowds.get(connection, crowd.id) or crowd
                bar.update(task, total=crowd.total, completed=crowd.looked)
                if quiet_until is not None and loop.time() > quiet_until:
                    quiet_until = None
                    if crowd.status == "waiting":
                        bar.console.print(
                            "nobody has taken it up yet: it needs a router and a pool worker "
                            "(`kairos dev` runs both, or `kairos worker router` and `kairos worker pool`)"
                        )
    except asyncio.CancelledError:
        typer.echo(
            f"kairos enter: it goes on without you; `kairos crowds` shows how far it is, "
            f"`kairos cancel {crowd.id}` stops it",
            err=True,
        )
    return crowd


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def listed(
    journey: Annotated[str | None, typer.Option(help="Only into this journey.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the last first.")] = 20,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """List crowds that were let into journeys, the last first, and how far each is."""

    async def work(database: AsyncEngine) -> list[Crowd]:
        async with database.connect() as connection:
            return await crowds.find(connection, journey=journey, limit=limit)

    found = on_database("crowds", work)
    if format is Format.json:
        print_json([crowd_data(each) for each in found])
    else:
        say(_table(found))


def crowd_data(found: Crowd) -> dict[str, Any]:
    """A crowd as JSON data."""
    return {
        "crowd_id": found.id,
        "journey": found.journey,
        "digest": found.digest,
        "what": found.what,
        "tag": found.tag,
        "segment": found.segment,
        "where": None if found.condition is None else found.condition["where"],
        "status": found.status,
        "total": found.total,
        "looked_at": found.looked,
        "entered": found.entered,
        "restarted": found.restarted,
        "refused": found.refused,
        "unknown": found.unknown,
        "created_at": found.created_at,
        "entered_at": found.entered_at,
        "finished_at": found.finished_at,
        "error": found.error,
        "workflow_id": crowd_workflow_id(found.journey, found.id),
    }


_REASONS: Final = {
    "live": "in it already",
    "never_again": "may enter only once",
    "too_soon": "entered too recently",
    "paused": "missed while it is paused",
}


def crowd_lines(found: Crowd, rejects: Path | None = None) -> Iterator[str]:
    """What became of a crowd, for people."""
    state = {"waiting": "asked for", "entered": "all looked at"}.get(found.status, found.status)
    yield f"crowd {found.id} into {found.journey}: {state}"
    if found.error is not None:
        yield f"  {found.error}"
    rows = [("looked at", found.looked), ("entered", found.entered)]
    if found.restarted:
        rows.append(("begun anew", found.restarted))
    rows += [(_REASONS.get(reason, reason), count) for reason, count in sorted(found.refused.items())]
    if found.status != "waiting":
        for title, count in rows:
            yield f"  {title:<26} {count:>12,}"
    if found.unknown:
        where = "" if rejects is None else f", in {rejects}"
        yield f"  {'lines that led to nobody':<26} {found.unknown:>12,}{where}"


def _table(found: Iterable[Crowd]) -> Iterator[str]:
    rows = [
        (
            each.id,
            each.journey,
            _who(each),
            instant(each.created_at),
            each.status,
            f"{each.looked:,} of {each.total:,}" if each.total is not None else "-",
            f"{each.entered:,}",
        )
        for each in found
    ]
    if not rows:
        yield "no crowds"
        return
    yield from table(("crowd", "journey", "who", "asked for (UTC)", "stands", "looked at", "entered"), rows)


def _who(crowd: Crowd) -> str:
    match crowd.what:
        case "tag":
            return f"tag {crowd.tag}"
        case "segment" if crowd.segment is not None:
            return f"segment {crowd.segment}"
        case "segment" if crowd.condition is not None:
            where = str(crowd.condition["where"])
            return f"where {where if len(where) <= 40 else where[:39] + '…'}"
    return crowd.what


def register(app: typer.Typer) -> None:
    app.command("crowds")(listed)
