"""`kairos enrolments` and `kairos cancel`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from engine.cli.lookup import as_uuid, one_enrolment, one_profile
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
from engine.core.inputs import Exit
from engine.ingest import crowds, manual
from engine.store import clock, enrolments
from engine.store.crowds import Crowd
from engine.store.enrolments import Enrolment, Filter

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine


class Status(StrEnum):
    """Where an enrolment is in its life."""

    live = "live"
    ended = "ended"


def listed(
    journey: Annotated[str | None, typer.Option(help="Only of this journey.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only live or ended ones.")] = None,
    exit: Annotated[str | None, typer.Option(help="Only with this exit, such as `goal`.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only of this customer, by any identifier.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, last entered first.")] = 50,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """List enrolments, last entered first."""

    async def work(database: AsyncEngine) -> list[Enrolment]:
        if exit is not None and exit not in get_args(Exit):
            raise CommandError(f"there is no exit `{exit}`; there are: {', '.join(get_args(Exit))}")
        async with database.connect() as connection:
            owner = None if profile is None else (await one_profile(connection, profile)).id
            where = Filter(journey, owner, status.value if status else None, exit)
            return await enrolments.find(connection, where, limit=limit)

    found = on_database("enrolments", work)
    if format is Format.json:
        print_json([enrolment_data(each) for each in found])
    else:
        say(enrolment_lines(found))


def cancel(
    enrolment: Annotated[
        str, typer.Argument(help="Its id, or JOURNEY/ID as Temporal's UI shows it; or that of a crowd.")
    ],
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """End a live enrolment, exit `cancelled`, once what it is just doing is settled; or stop a crowd."""

    async def work(database: AsyncEngine) -> Enrolment | Crowd:
        async with database.begin() as connection:
            crowd = await _crowd(connection, enrolment)
            if crowd is not None:
                return crowd
            found = await one_enrolment(connection, enrolment)
            at = (await clock.load(connection)).now()
            if not await manual.cancel(connection, found.id, at):
                raise CommandError(f"{found.id} has ended already, exit {found.exit}")
            return found

    found = on_database("cancel", work)
    if isinstance(found, Crowd):
        if format is Format.json:
            print_json({"crowd_id": found.id, "journey": found.journey, "asked": "cancel"})
        else:
            typer.echo(f"nobody else enters {found.journey} in crowd {found.id}; those who are in stay")
    elif format is Format.json:
        print_json({"enrolment_id": found.id, "journey": found.journey, "asked": "cancel"})
    else:
        typer.echo(f"{found.id} of {found.journey} is being cancelled")


async def _crowd(connection: AsyncConnection, given: str) -> Crowd | None:
    """The crowd with this id, stopped; None if there is none."""
    crowd_id = as_uuid(given.rpartition("/")[2])
    before = None if crowd_id is None else await crowds.cancel(connection, crowd_id)
    if before is not None and before.over:
        raise CommandError(f"crowd {before.id} is over already: {before.status}")
    return before


def enrolment_data(found: Enrolment) -> dict[str, Any]:
    """An enrolment as JSON data, without what the customer's events held."""
    return {
        "enrolment_id": found.id,
        "journey": found.journey,
        "digest": found.digest,
        "profile_id": found.profile_id,
        "one_per": found.one_per,
        "status": found.status,
        "exit": found.exit,
        "exit_detail": found.exit_detail,
        "step": found.step,
        "holdout": found.holdout,
        "variants": found.variants,
        "entered_at": found.entered_at,
        "ended_at": found.ended_at,
        "converted_at": found.converted_at,
        "workflow_id": found.workflow_id,
    }


def enrolment_lines(found: Iterable[Enrolment]) -> Iterator[str]:
    """Enrolments as a table for people."""
    rows = [
        (each.id, each.journey, instant(each.entered_at), _standing(each), _marks(each)) for each in found
    ]
    if not rows:
        yield "no enrolments"
        return
    yield from table(("enrolment", "journey", "entered (UTC)", "stands", ""), rows)


def _standing(found: Enrolment) -> str:
    if found.status == "live":
        return f"live, at {found.step}" if found.step else "live"
    return f"{found.exit} {instant(found.ended_at)}"


def _marks(found: Enrolment) -> str:
    marks = [f"{split}={variant}" for split, variant in sorted(found.variants.items())]
    if found.holdout:
        marks.append("holdout")
    if found.converted_at is not None:
        marks.append("converted")
    return " ".join(marks)


def register(app: typer.Typer) -> None:
    app.command("enrolments")(listed)
    app.command("cancel")(cancel)
