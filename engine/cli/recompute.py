"""`kairos recompute`: everybody looked at anew, for segments, stages and tags of rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

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
)
from engine.core.calendar import zone_of
from engine.customers.applied import applied
from engine.customers.rfm import recompute_rfm
from engine.ingest.recomputing import KINDS, Done, Recomputed, RecomputeError, recompute
from engine.language.scalars import read_date, read_instant
from engine.store import clock
from engine.store.derived import Kind
from engine.store.rfm import Recomputed as Scored

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


class What(StrEnum):
    """What is computed anew."""

    segments = "segments"
    stages = "stages"
    tags = "tags"
    rfm = "rfm"
    all = "all"


_KINDS: dict[What, tuple[Kind, ...]] = {
    What.segments: ("segment",),
    What.stages: ("stage",),
    What.tags: ("tag",),
    What.rfm: (),
    What.all: KINDS,
}


def command(
    what: Annotated[What, typer.Argument(help="What is computed anew.")] = What.all,
    as_of: Annotated[
        str | None,
        typer.Option(help="As of a date or instant: only what happened up to it counts.", metavar="INSTANT"),
    ] = None,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Forget what was known before, histories too.")
    ] = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Look at every customer anew: segments, stages, tags of rules, and RFM scores."""

    async def work(database: AsyncEngine) -> tuple[Recomputed | None, Scored | None]:
        at = None
        if as_of is not None:
            async with database.connect() as connection:
                zone = (await applied(connection)).installation.time_zone
            at = _instant(as_of, zone)
        shown = _progress if sys.stderr.isatty() else lambda done: None
        try:
            looked = None
            if what is not What.rfm:
                looked = await recompute(database, _KINDS[what], at, afresh=afresh, heard=shown)
            return looked, await _score(database, at) if what in (What.rfm, What.all) else None
        except RecomputeError as error:
            raise CommandError(str(error)) from None

    looked, scored = on_database("recompute", work)
    if looked is None and scored is None:
        refuse("recompute", "the catalogue that is applied declares no `rfm`")
    if format is Format.json:
        print_json(_data(looked, scored))
    else:
        say(_lines(looked, scored))


async def _score(database: AsyncEngine, at: datetime | None) -> Scored | None:
    if at is None:
        async with database.connect() as connection:
            at = (await clock.load(connection)).now()
    return await recompute_rfm(database, at)


def _data(looked: Recomputed | None, scored: Scored | None) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if looked is not None:
        data["as_of"] = looked.as_of
        data["done"] = [
            {"kind": d.place[0], "name": d.place[1], "came": d.came, "went": d.went, "quiet": d.quiet}
            for d in looked.done
        ]
    if scored is not None:
        data["rfm"] = {"customers": scored.base, "changed": scored.written, "gone": scored.gone}
    return data


def _instant(text: str, zone: str) -> datetime:
    found = read_instant(text)
    if found is None and (day := read_date(text)) is not None:
        found = datetime(day.year, day.month, day.day, tzinfo=zone_of(zone))
    if found is None:
        refuse("recompute", f"`{text}` is no instant; expected such as 2026-11-11 or 2026-11-11T10:00+08:00")
    return found if found.tzinfo is not None else found.replace(tzinfo=zone_of(zone))


def _progress(done: Done) -> None:
    kind, name = done.place
    print(f"\r{kind} {name}: {done.came + done.went:,} changes", end="", file=sys.stderr, flush=True)


def _lines(looked: Recomputed | None, scored: Scored | None) -> Iterator[str]:
    if looked is not None:
        yield from _looked(looked)
    if scored is not None:
        yield f"  rfm: {scored.base:,} customers scored, {counted(scored.written, 'change')}"


def _looked(found: Recomputed) -> Iterator[str]:
    yield f"as of {instant(found.as_of)} (UTC)"
    for done in found.done:
        kind, name = done.place
        noted = ", noted without events" if done.quiet and kind != "tag" else ""
        if kind == "stage":
            yield f"  stages: {counted(done.came, 'change')}{noted}"
        else:
            came, went = ("entered", "left") if kind == "segment" else ("got it", "lost it")
            yield f"  {kind} {name}: {done.came:,} {came}, {done.went:,} {went}{noted}"
    if not found.done:
        yield "  nothing is followed: `history: true` at a segment, `stages`, or a tag with `where` is"


def register(app: typer.Typer) -> None:
    app.command("recompute")(command)
