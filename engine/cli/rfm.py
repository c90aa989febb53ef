"""`kairos rfm`: how recently, how often and for how much customers bought, over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

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
from engine.customers import rfm
from engine.customers.applied import applied
from engine.customers.rfm import Standing
from engine.language.types import midnight, parse_date, parse_datetime

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


def register(app: typer.Typer) -> None:
    rfms = typer.Typer(
        help="How recently, how often and for how much customers bought.", no_args_is_help=True
    )
    # With a callback the only command keeps its name.
    rfms.callback()(_nothing)
    rfms.command()(show)
    app.add_typer(rfms, name="rfm")


def _nothing() -> None:
    """How recently, how often and for how much customers bought."""


def show(
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="As it was at this instant, or at the end of this day; nothing is kept.",
            metavar="INSTANT",
        ),
    ] = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show cut points, segments and the grid of frequency and money, as they are kept or as of any date."""

    async def work(database: AsyncEngine) -> Standing:
        async with database.connect() as connection:
            known = await applied(connection)
            if known.catalogue.rfm is None:
                raise CommandError("the catalogue that is applied declares no `rfm`")
            at = None if as_of is None else _instant(as_of, known.installation.time_zone)
            found = await rfm.standing(connection, at)
        if found is None:
            raise CommandError(
                "nothing was computed yet: `kairos recompute rfm` does it, `--as-of` looks without keeping"
            )
        return found

    found = on_database("rfm show", work)
    if format is Format.json:
        print_json(_data(found))
    else:
        say(_lines(found))


def _instant(text: str, time_zone: str) -> datetime:
    """An instant, or the end of a day."""
    zone = ZoneInfo(time_zone)
    at, day = parse_datetime(text, zone), parse_date(text)
    if day is not None and (begins := midnight(day + timedelta(days=1), zone)) is not None:
        at = begins - timedelta(microseconds=1)
    if at is None:
        refuse("rfm show", f"`{text[:60]}` is no day and no instant: 1998-06-30, 2026-11-11T10:00+08:00")
    return at


def _data(found: Standing) -> dict[str, Any]:
    return {
        "event": found.declared.event,
        "as_of": found.cuts.computed_at,
        "customers": found.cuts.base,
        "cuts": {
            "recency": list(found.cuts.recency),
            "frequency": list(found.cuts.frequency),
            "monetary": list(found.cuts.monetary),
        },
        "segments": [{"segment": name, "customers": count} for name, count in found.segments.items()],
        "grid": found.grid,
    }


def _lines(found: Standing) -> Iterator[str]:
    cuts, parts = found.cuts, found.declared.quantiles
    people = counted(cuts.base, "customer")
    yield f"{people} with `{found.declared.event}`, as of {instant(cuts.computed_at)}"
    if not cuts.recency:
        return
    rows = zip(cuts.recency, cuts.frequency, cuts.monetary, strict=True)
    yield ""
    yield from table(
        ("score", "last after", "more often than", "more money than"),
        [(str(score), instant(r), f"{f:,}", f"{m:,.2f}") for score, (r, f, m) in enumerate(rows, 2)],
    )
    titles = {segment.name: segment.title or "" for segment in found.declared.segments}
    whole = sum(found.segments.values()) or 1
    yield ""
    yield from table(
        ("segment", "customers", "share", "title"),
        [
            (name or "in none", f"{count:,}", f"{count / whole:.1%}", titles.get(name or "", ""))
            for name, count in found.segments.items()
        ],
    )
    yield ""
    yield from table(
        ("frequency", *(f"money {score}" for score in range(1, parts + 1))),
        [(str(parts - place), *(f"{n:,}" for n in row)) for place, row in enumerate(found.grid)],
    )
