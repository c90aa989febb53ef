"""`kairos enter`: puts a customer, or many, into a journey that is entered by hand."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from engine.cli.crowds import Who, enter_crowd
from engine.cli.lookup import one_profile
from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    on_database,
    print_json,
    refuse,
)
from engine.ingest import manual
from engine.language.loader import Scalar, load
from engine.store import clock, enrolments, events

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

PATIENCE: Final = 3.0
"""Seconds to wait for the router's answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry that was asked for. `waiting`: no router has looked at it yet."""

    enrolment_id: str
    event_id: str
    answer: Literal["entered", "refused", "waiting"]


def enter(
    journey: Annotated[str, typer.Argument(help="A journey with `trigger: {manual: …}` or `{audience: …}`.")],
    customer: Annotated[
        str | None, typer.Argument(help="Any identifier, KIND:VALUE, or a profile id.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All customers instead of one.")] = False,
    tag: Annotated[str | None, typer.Option(help="All customers who have this tag.")] = None,
    segment: Annotated[str | None, typer.Option(help="All customers in this segment.")] = None,
    where: Annotated[
        str | None, typer.Option(help="All customers for whom a condition holds.", metavar="EXPR")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="All customers of a list: an identifier a line, or CSV with a header."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--with", help="NAME=VALUE, a property of the trigger; as often as needed."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Of many: do not wait until all are in.")] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Put a customer into a journey, or many at once, or launch a campaign for everybody whom it is for.

    Exit code 1: the journey did not let them in.
    """
    properties = dict(_property(each) for each in given or ())
    ways = (customer, tag, segment, where, file)
    said = everybody + sum(way is not None for way in ways)
    if said > 1:
        refuse("enter", "expected a customer, or one of --all, --tag, --segment, --where and --file")
    if customer is None:
        who = Who(tag, file, segment, where, campaign=not said)
        enter_crowd(journey, who, properties, detach=detach, format=format)
        return
    one = customer

    async def work(database: AsyncEngine) -> Asked:
        async with database.begin() as connection:
            profile = await one_profile(connection, one)
            at = (await clock.load(connection)).now()
            try:
                _, plan = await manual.enterable(connection, journey)
                manual.refuse_undeclared(plan, properties)
                asked = await manual.enter_manually(
                    connection, journey, profile.id, properties, uuid.uuid4().hex, at
                )
            except manual.EntryRefused as error:
                raise CommandError(str(error)) from None
        return await _answer(database, asked)

    found = on_database("enter", work)
    if format is Format.json:
        print_json({"enrolment_id": found.enrolment_id, "event_id": found.event_id, "answer": found.answer})
    else:
        typer.echo(_in_words(found, journey))
    raise typer.Exit(1 if found.answer == "refused" else 0)


async def _answer(database: AsyncEngine, asked: manual.Asked) -> Asked:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        async with database.connect() as connection:
            entered = await enrolments.get_batch(connection, [asked.enrolment_id])
            event = (await events.get_batch(connection, [asked.event_id])).get(asked.event_id)
        if entered:
            return Asked(asked.enrolment_id, asked.event_id, "entered")
        if event is not None and event.routed_at is not None:
            return Asked(asked.enrolment_id, asked.event_id, "refused")
        if asyncio.get_running_loop().time() > deadline:
            return Asked(asked.enrolment_id, asked.event_id, "waiting")
        await asyncio.sleep(0.1)


def _in_words(found: Asked, journey: str) -> str:
    match found.answer:
        case "entered":
            return f"entered {journey}: enrolment {found.enrolment_id}"
        case "refused":
            return f"{journey} did not let them in: it is paused, they are in it, or may not enter again yet"
        case "waiting":
            return (
                f"asked for, enrolment {found.enrolment_id}: no router has taken it yet "
                "(`kairos dev` or `kairos worker router` runs one)"
            )


def _property(text: str) -> tuple[str, Any]:
    """`NAME=VALUE`, the value read as in a YAML file: `true`, `12`, `null`, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"expected NAME=VALUE, got {text}", param_hint="--with")
    return name, read_value(value)


def read_value(text: str) -> str | int | float | bool | None:
    """A scalar as the project's files are read; what is no scalar there is text."""
    root, reporter = load("--with", text)
    if isinstance(root, Scalar) and not reporter.found:
        return root.value
    return text


def register(app: typer.Typer) -> None:
    app.command("enter")(enter)
