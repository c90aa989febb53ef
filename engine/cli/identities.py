"""`kairos identities`: what people have to look at, merges, identifiers that identify nobody."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.lookup import as_uuid, one_profile
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    instant,
    on_database,
    print_json,
    say,
    table,
)
from engine.customers.review import CannotDecide
from engine.ingest.merging import settle_review, undo_merge
from engine.store import identities, merging, reviews
from engine.store.identities import SeenProblem
from engine.store.merging import Merge
from engine.store.reviews import Review

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


def listed(
    decided: Annotated[bool, typer.Option("--decided", help="Those that were decided.")] = False,
    limit: LimitOption = 50,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """List customers who look like one and were not merged, and profiles with too many identifiers."""

    async def work(database: AsyncEngine) -> list[Review]:
        async with database.connect() as connection:
            return await reviews.listed(connection, decided=decided, limit=limit)

    found = on_database("identities reviews", work)
    if format is Format.json:
        print_json([_review_data(each) for each in found])
    else:
        say(_review_lines(found))


def decide(
    review: Annotated[str, typer.Argument(help="The id, as `kairos identities reviews` shows it.")],
    same: Annotated[bool, typer.Option("--same", help="They are one: merge them.")] = False,
    apart: Annotated[bool, typer.Option("--apart", help="They are not; do not bring it up again.")] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Decide a finding of the review list, with --same or --apart."""
    if same == apart:
        raise typer.BadParameter("expected either --same or --apart")

    async def work(database: AsyncEngine) -> list[int]:
        review_id = as_uuid(review)
        if review_id is None:
            raise CommandError(f"{review} is no id; `kairos identities reviews` shows them")
        try:
            return await settle_review(database, review_id, "same" if same else "apart", _operator())
        except CannotDecide as error:
            raise CommandError(str(error)) from None

    merges = on_database("identities decide", work)
    if format is Format.json:
        print_json({"review": review, "merges": merges})
    elif merges:
        typer.echo(f"merged: {', '.join(map(str, merges))}; `kairos identities undo` takes it back")
    else:
        typer.echo("they stay apart" if apart else "noted; nothing had to be merged")


def merges(
    customer: Annotated[
        str | None, typer.Argument(help="Only of this customer: any identifier or profile id.")
    ] = None,
    limit: LimitOption = 20,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """List merges, the last first."""

    async def work(database: AsyncEngine) -> list[Merge]:
        async with database.connect() as connection:
            owner = None if customer is None else (await one_profile(connection, customer)).id
            return await merging.of_profile(connection, owner, limit)

    found = on_database("identities merges", work)
    if format is Format.json:
        print_json([_merge_data(each) for each in found])
    else:
        rows = [
            (str(each.id), instant(each.merged_at), each.survivor, each.loser, instant(each.undone_at))
            for each in found
        ]
        say(
            table(("merge", "at (UTC)", "stays", "merged into it", "undone"), rows) if rows else ["no merges"]
        )


def undo(
    merge: Annotated[int, typer.Argument(min=1, help="Its number, as `kairos identities merges` shows it.")],
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Undo a merge: each gets back what was theirs; what ended with it stays ended."""

    async def work(database: AsyncEngine) -> Merge:
        try:
            return await undo_merge(database, merge, _operator())
        except CannotDecide as error:
            raise CommandError(str(error)) from None

    done = on_database("identities undo", work)
    if format is Format.json:
        print_json({"merge": merge, "survivor": done.survivor, "parted": done.loser})
    else:
        typer.echo(f"{done.loser} is a customer of its own again, and stays apart from {done.survivor}")


def problems(
    limit: LimitOption = 50, project: ProjectOption = None, format: FormatOption = Format.text
) -> None:
    """List identifiers that identify nobody: what could not be read, and which source sends it."""

    async def work(database: AsyncEngine) -> list[SeenProblem]:
        async with database.connect() as connection:
            return await identities.problems(connection, limit)

    found = on_database("identities problems", work)
    if format is Format.json:
        print_json([each._asdict() for each in found])
        return
    rows = [
        (each.kind, each.source, str(each.seen), instant(each.last_seen_at), each.reason) for each in found
    ]
    say(table(("kind", "source", "seen", "last (UTC)", "why"), rows) if rows else ["no problems"])


def _review_lines(found: Iterable[Review]) -> Iterator[str]:
    rows = []
    for each in found:
        if each.two is not None:
            what = f"two {each.kind}: {each.one_value} and {each.two_value}"
            what += f", both with {each.via_kind} {each.via_value}" if each.via else ""
        else:
            what = f"too many {each.kind} on {each.one_kind} {each.one_value}, last {each.via_value}"
        rows.append((each.id, instant(each.at), counted(each.seen, "time"), each.decision or "open", what))
    yield from (
        table(("finding", "at (UTC)", "seen", "decision", ""), rows) if rows else ["nothing to look at"]
    )


def _review_data(found: Review) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Review.__slots__}


def _merge_data(found: Merge) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Merge.__slots__ if name != "before"}


def _operator() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Who is who: findings to decide, merges, problems.", no_args_is_help=True)
    group.command("reviews")(listed)
    group.command("decide")(decide)
    group.command("merges")(merges)
    group.command("undo")(undo)
    group.command("problems")(problems)
    app.add_typer(group, name="identities")
