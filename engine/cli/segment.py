"""`kairos segment`: who is in a segment, why, and lists from files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.crowd_file import Line, read_list, write_rejects
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    instant,
    on_database,
    print_json,
    refuse,
    say,
    table,
)
from engine.customers import lists, segments
from engine.customers.lists import Change, Changed
from engine.customers.segments import Explained, Group, SegmentError
from engine.store import clock, derived

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine
    from engine.store.derived import Followed, Passage
    from engine.store.profiles import Profile

NameArgument = Annotated[str | None, typer.Argument(help="A segment of the catalogue that was applied.")]
WhereOption = Annotated[
    str | None, typer.Option(help="A condition instead of a segment, to try it out.", metavar="EXPR")
]


@dataclass(frozen=True, slots=True)
class Asking:
    """A segment, or a condition, and the logical instant at which it is asked."""

    group: Group
    now: datetime

    @property
    def head(self) -> dict[str, Any]:
        return {"segment": self.group.name, "where": self.group.text, "at": self.now}


async def group_of(connection: AsyncConnection, name: str | None, where: str | None) -> Group:
    """The customers of a segment, or those for whom a condition holds.

    Raises:
        CommandError: there is no such segment, or the condition has mistakes.
    """
    try:
        if name is not None:
            return await segments.named(connection, name)
        return await segments.of_condition(connection, where or "")
    except SegmentError as error:
        raise CommandError(str(error)) from None


async def _asking(connection: AsyncConnection, name: str | None, where: str | None) -> Asking:
    group = await group_of(connection, name, where)
    return Asking(group, (await clock.load(connection)).now())


def _one_of(command: str, name: str | None, where: str | None) -> None:
    if (name is None) == (where is None):
        refuse(f"segment {command}", "expected a segment, or --where")


def count(
    name: NameArgument = None,
    where: WhereOption = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Count who is in a segment now."""
    _one_of("count", name, where)

    async def work(database: AsyncEngine) -> tuple[Asking, int]:
        async with database.connect() as connection:
            asking = await _asking(connection, name, where)
            return asking, await segments.count(connection, asking.group, asking.now)

    asking, found = on_database("segment count", work)
    if format is Format.json:
        print_json(asking.head | {"count": found})
    else:
        typer.echo(counted(found, "customer"))


def preview(
    name: NameArgument = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 10,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show some of those who are in a segment now."""
    _one_of("preview", name, where)

    async def work(database: AsyncEngine) -> tuple[Asking, list[Profile]]:
        async with database.connect() as connection:
            asking = await _asking(connection, name, where)
            return asking, await segments.preview(connection, asking.group, asking.now, limit)

    asking, found = on_database("segment preview", work)
    if format is Format.json:
        print_json(asking.head | {"profiles": [_shown(each) for each in found]})
    elif found:
        rows = [(p.id, p.external_id or "-", ", ".join(p.tags) or "-", p.stage or "-") for p in found]
        say(table(("profile", "external id", "tags", "stage"), rows))
    else:
        typer.echo("nobody")


def _shown(profile: Profile) -> dict[str, Any]:
    return {
        "profile_id": profile.id,
        "external_id": profile.external_id,
        "tags": profile.tags,
        "stage": profile.stage,
        "attributes": profile.attributes,
    }


def explain(
    name: NameArgument = None,
    where: WhereOption = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show which part of a segment keeps how many, alone and with those before it."""
    _one_of("explain", name, where)

    async def work(database: AsyncEngine) -> tuple[Asking, Explained]:
        async with database.connect() as connection:
            asking = await _asking(connection, name, where)
            return asking, await segments.explain(connection, asking.group, asking.now)

    asking, found = on_database("segment explain", work)
    if format is Format.json:
        print_json(asking.head | explained_data(found))
    else:
        say(_explained(found))


def explained_data(found: Explained) -> dict[str, Any]:
    """As JSON data."""
    parts = [{"part": part.text, "alone": part.alone, "together": part.together} for part in found.parts]
    return {"everybody": found.everybody, "joined_by": found.joined_by, "parts": parts, "count": found.count}


def _explained(found: Explained) -> Iterator[str]:
    rows = [("everybody", f"{found.everybody:,}", f"{found.everybody:,}")]
    for place, part in enumerate(found.parts):
        word = f"{found.joined_by} " if place else ""
        rows.append((f"{word}{part.text}", f"{part.alone:,}", f"{part.together:,}"))
    width = max(len(row[1]) for row in rows)
    far = max(len(row[2]) for row in rows)
    yield f"{'alone':>{max(width, 5)}}  {'together':>{max(far, 8)}}"
    for text, alone, together in rows:
        yield f"{alone:>{max(width, 5)}}  {together:>{max(far, 8)}}  {text}"


def history(
    name: Annotated[str, typer.Argument(help="A segment of the catalogue that was applied.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show who entered and left a segment, the last first, and how many are in it."""

    async def work(database: AsyncEngine) -> tuple[Followed | None, int, list[Passage]]:
        async with database.connect() as connection:
            await group_of(connection, name, None)
            known = {each.place: each for each in await derived.followed(connection)}
            members = await derived.members(connection, name)
            return known.get(("segment", name)), members, await derived.history(connection, name, limit)

    followed, members, found = on_database("segment history", work)
    if format is Format.json:
        since = None if followed is None else followed.since_at
        changes = [
            {
                "profile_id": each.profile_id,
                "external_id": each.external_id,
                "change": "entered" if each.entered else "left",
                "at": each.at,
                "quiet": each.quiet,
            }
            for each in found
        ]
        print_json({"segment": name, "since": since, "members": members, "changes": changes})
        return
    if followed is None:
        typer.echo(f"{name} is not followed: `history: true` in the catalogue keeps its history")
    else:
        typer.echo(f"{counted(members, 'customer')} in it; followed since {instant(followed.since_at)} (UTC)")
    rows = [
        (
            instant(each.at),
            "entered" if each.entered else "left",
            each.external_id or each.profile_id,
            "noted" if each.quiet else "",
        )
        for each in found
    ]
    if rows:
        say(table(("at (UTC)", "", "customer", ""), rows))


def take_in(
    name: Annotated[str, typer.Argument(help="A segment that is declared as `{list: true}`.")],
    file: Annotated[Path, typer.Argument(help="An identifier a line, or CSV with a header.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them off the list.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Make them all who are on the list.")] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Put the customers of a file on a list. Lines that lead to nobody are written beside it."""
    if remove and replace:
        refuse("segment import", "expected --remove or --replace, not both")
    how: Change = "remove" if remove else "replace" if replace else "add"

    async def work(database: AsyncEngine) -> tuple[Changed, Path | None, int]:
        unreadable = sum(line.named is None for line in _lines(file))
        customers = (line.named for line in _lines(file) if line.named is not None)
        async with database.begin() as connection:
            try:
                found = await lists.change(connection, name, customers, how)
                return found, write_rejects(file, _lines(file), found.not_one), unreadable
            except SegmentError as error:
                raise CommandError(str(error)) from None
            except OSError as error:
                raise CommandError(f"{error.filename or file}: {error.strerror or error}") from None

    found, rejects, unreadable = on_database("segment import", work)
    unknown = len(found.not_one) + unreadable
    if format is Format.json:
        where = None if rejects is None else str(rejects)
        print_json(
            {
                "segment": name,
                "added": found.added,
                "removed": found.removed,
                "members": found.members,
                "unknown": unknown,
                "rejects": where,
            }
        )
    else:
        say(_changed(name, found, how, unknown, rejects))


def _lines(path: Path) -> Iterator[Line]:
    try:
        yield from read_list(path)
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not text in UTF-8") from None
    except OSError as error:
        raise CommandError(f"{error.filename or path}: {error.strerror or error}") from None


def _changed(name: str, found: Changed, how: Change, unknown: int, rejects: Path | None) -> Iterator[str]:
    match how:
        case "add":
            yield f"{counted(found.added, 'customer')} new in {name}"
        case "remove":
            yield f"{counted(found.removed, 'customer')} taken off {name}"
        case "replace":
            yield f"{name} had {counted(found.removed, 'customer')}"
    yield f"{counted(found.members, 'customer')} in it now"
    if unknown:
        yield f"{counted(unknown, 'line')} led to nobody, or to several: {rejects} says why"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Who is in a segment, why, and lists from files.", no_args_is_help=True)
    group.command("count")(count)
    group.command("preview")(preview)
    group.command("explain")(explain)
    group.command("history")(history)
    group.command("import")(take_in)
    app.add_typer(group, name="segment")
