"""`kairos import customers` and `kairos import events`: files in."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.cli.session import (
    CommandError,
    Format,
    FormatOption,
    ProjectOption,
    counted,
    on_database,
    print_json,
    say,
    table,
)
from engine.customers.applied import applied
from engine.customers.importing.cells import guarded
from engine.customers.importing.columns import Column, Mapped, What, guess, missing
from engine.customers.importing.encodings import Unreadable
from engine.customers.importing.mapping import MappingMistake, read_mapping, write_mapping
from engine.customers.importing.people import CannotMap
from engine.customers.importing.reading import Row, Source, open_source, rows
from engine.ingest.importing import Asked, CannotImport, Importer, Looked, begin, look
from engine.language.scalars import read_instant
from engine.store import jobs
from engine.store.jobs import Job, Reject
from workers.garbage import collect_less

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

FileArgument = Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet, packed with gzip or not.")]
MappingOption = Annotated[
    Path | None, typer.Option(help="YAML that says what each column becomes; else it is guessed.")
]
WriteOption = Annotated[
    Path | None, typer.Option(help="Write what each column becomes to this file, and import nothing.")
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and write nothing.")]
EncodingOption = Annotated[
    str | None, typer.Option(help="The file's encoding, such as gb18030; else it is told by its bytes.")
]
DelimiterOption = Annotated[str | None, typer.Option(help="What stands between the cells of CSV.")]
SourceOption = Annotated[str, typer.Option(help="Who says it: the source that attributes and events have.")]
AtOption = Annotated[
    str | None,
    typer.Option(help="When rows were said that do not tell; now, if left out.", metavar="INSTANT"),
]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Import a file that was imported before, from its beginning.")
]


@dataclass(frozen=True, slots=True)
class How:
    """What was typed."""

    command: str
    what: What
    path: Path
    mapping: Path | None
    write_mapping: Path | None
    encoding: str | None
    delimiter: str | None
    source: str
    at: str | None
    event: str | None
    trigger: bool
    dry_run: bool
    again: bool
    format: Format


def customers(
    file: FileArgument,
    mapping: MappingOption = None,
    write_mapping: WriteOption = None,
    dry_run: DryOption = False,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    source: SourceOption = "import",
    at: AtOption = None,
    again: AgainOption = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Import customers. A file that was cut off goes on where it was when it is imported again."""
    _take(
        How(
            "import customers", "customers", file, mapping, write_mapping, encoding, delimiter, source, at,
            None, False, dry_run, again, format,
        )
    )  # fmt: skip


def events(
    file: FileArgument,
    event: Annotated[str | None, typer.Option(help="The name of all events of the file.")] = None,
    trigger: Annotated[
        bool, typer.Option("--trigger", help="Show them to journeys, as if they came in now.")
    ] = False,
    mapping: MappingOption = None,
    write_mapping: WriteOption = None,
    dry_run: DryOption = False,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    source: SourceOption = "import",
    at: AtOption = None,
    again: AgainOption = False,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Import events as history: they are counted by segments and attributes, and start no journey."""
    _take(
        How(
            "import events", "events", file, mapping, write_mapping, encoding, delimiter, source, at,
            event, trigger, dry_run, again, format,
        )
    )  # fmt: skip


def _take(how: How) -> None:
    async def work(database: AsyncEngine) -> tuple[Job | Looked, Mapped, Path | None]:
        try:
            return await _import(database, how)
        except (Unreadable, MappingMistake, CannotMap, CannotImport) as error:
            raise CommandError(f"{how.path}: {error}") from None
        except OSError as error:
            raise CommandError(f"{error.filename or how.path}: {error.strerror or error}") from None

    found, mapped, rejects = on_database(how.command, work)
    if how.write_mapping is not None:
        typer.echo(f"{how.write_mapping} says what each column becomes; --mapping reads it")
    elif isinstance(found, Looked):
        _print_looked(found, mapped, how)
    else:
        _print(found, rejects, how)
        raise typer.Exit(1 if found.state == "failed" else 0)


async def _import(database: AsyncEngine, how: How) -> tuple[Job | Looked, Mapped, Path | None]:
    if how.delimiter is not None and len(how.delimiter) != 1:
        raise CannotImport("--delimiter: expected one character")
    collect_less()
    file = open_source(how.path, how.encoding, how.delimiter)
    async with database.connect() as connection:
        known = await applied(connection)
    if not known.text:
        raise CannotImport(
            "nothing was applied yet: `kairos apply` first, so that it is known which attributes there are "
            "and how identifiers are read"
        )
    mapped = _mapped(how, file, guess(how.what, file.columns, known.catalogue, how.event))
    at = _instant(how.at, known.installation.time_zone)
    if how.write_mapping is not None:
        how.write_mapping.write_text(write_mapping(mapped), encoding="utf-8")
        return Looked({}, []), mapped, None
    if how.format is Format.text:
        for line in _preview(file, mapped):
            typer.echo(line, err=True)
    if lacks := missing(mapped):
        raise CannotImport(lacks)
    asked = Asked(mapped, how.source, at, how.trigger, how.again)
    if how.dry_run:
        return await look(database, file, asked), mapped, None
    job, goes_on = await begin(database, file, asked)
    if goes_on and how.format is Format.text:
        typer.echo(f"goes on behind row {job.done:,}", err=True)
    with _showing(file.lines) as heard:
        heard(job.done)
        done = await Importer(database, file, heard).run(job)
    return done, mapped, await _write_rejects(database, done, file)


def _mapped(how: How, file: Source, guessed: Mapped) -> Mapped:
    if how.mapping is None:
        return guessed
    text = how.mapping.read_text(encoding="utf-8")
    names = file.columns if file.layout != "jsonl" else ()
    found = read_mapping(str(how.mapping), text, how.what, names)
    return found if how.event is None else replace(found, event=how.event)


def _instant(text: str | None, zone: str) -> datetime | None:
    if text is None:
        return None
    found = read_instant(text)
    if found is None:
        raise CannotImport("--at: expected a date and time, such as 2026-11-11T10:00+08:00")
    return (found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


@contextmanager
def _showing(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, in a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("rows", total=total or None)
        yield lambda done: shown.update(task, completed=done)


def _preview(file: Source, mapped: Mapped) -> Iterator[str]:
    first: Row | None = next(rows(file), None)
    cells = {} if first is None else first.cells
    lines = [(c.name, _becomes(c), _short(cells.get(c.name))) for c in mapped.columns]
    lines += [(name, "left out", _short(cells.get(name))) for name in mapped.left_out if name]
    shown = file.layout if file.layout != "csv" else f"csv, {file.encoding.removesuffix('-sig')}"
    yield f"{file.path.name}: {shown}, {'about ' if file.total is None else ''}{counted(file.lines, 'row')}"
    yield from table(("column", "becomes", "first row"), lines)


def _becomes(column: Column) -> str:
    return column.to if column.format is None else f"{column.to} ({column.format})"


def _short(value: Any) -> str:
    text = "" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= 30 else text[:29] + "…"


# --- what came of it ------------------------------------------------------------------------------------


def _counts(found: Job, what: What) -> Iterator[str]:
    counts = found.counts
    one = "customer" if what == "customers" else "event"
    yield counted(counts.get("rows", 0), "row")
    yield counted(counts.get("new", 0), f"new {one}")
    if counts.get("customers"):
        yield f"for them {counted(counts['customers'], 'new customer')}"
    if counts.get("duplicates"):
        yield f"{counts['duplicates']:,} there already"


def _print(job: Job, rejects: Path | None, how: How) -> None:
    if how.format is Format.json:
        print_json(job_data(job) | {"rejects": None if rejects is None else str(rejects)})
        return
    if job.error is not None:
        typer.echo(f"kairos {how.command}: {how.path}: {job.error}", err=True)
    say([", ".join(_counts(job, how.what))])
    left, odd = job.counts.get("rejected", 0), job.counts.get("odd", 0)
    if left or odd:
        typer.echo(f"{counted(left, 'row')} left out, {odd:,} taken but for a part: {rejects} says why")


def _print_looked(found: Looked, mapped: Mapped, how: How) -> None:
    counts = found.counts
    if how.format is Format.json:
        listed = [{"line": r.line, "reason": r.reason, "kept": r.kept} for r in found.rejects]
        columns = [{"column": c.name, "becomes": c.to} for c in mapped.columns]
        print_json(
            {"counts": counts, "columns": columns, "left_out": list(mapped.left_out), "rejects": listed}
        )
        return
    rejected, odd = counts.get("rejected", 0), counts.get("odd", 0)
    say(
        [
            f"{counted(counts.get('rows', 0), 'row')}: {counts.get('taken', 0):,} would be taken, "
            f"{counts.get('known', 0):,} of them of customers who are known; {rejected:,} left out, "
            f"{odd:,} taken but for a part",
            *(f"  line {r.line}: {r.reason}" for r in found.rejects),
            "nothing was written",
        ]
    )


def job_data(job: Job) -> dict[str, Any]:
    """A job as JSON data."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "rows": job.done,
        "counts": job.counts,
        "error": job.error,
        "at": job.at,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }


async def _write_rejects(database: AsyncEngine, job: Job, file: Source) -> Path | None:
    """Writes beside the file which of its lines were left out, in part or in whole, and why."""
    async with database.connect() as connection:
        waiting = await jobs.rejects(connection, job.id)
        if not waiting:
            return None
        path = file.path.with_name(f"{file.path.name.split('.')[0]}.rejects.csv")
        with path.open("w", encoding="utf-8-sig", newline="") as out:  # a BOM, or Excel reads it wrongly
            writer = csv.writer(out)
            writer.writerow(("line", "what", "reason", *file.columns))
            lines = rows(file)
            row: Row | None = None
            while waiting:
                for reject in waiting:
                    while row is None or row.line < reject.line:
                        row = next(lines)
                    writer.writerow(_reject(reject, row, file))
                waiting = await jobs.rejects(connection, job.id, after=waiting[-1].line)
    return path


def _reject(reject: Reject, row: Row, file: Source) -> list[Any]:
    what = "taken but for this" if reject.kept else "left out"
    cells = (guarded(row.cells.get(name, "")) for name in file.columns)
    return [reject.line, what, reject.reason, *cells]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Take customers and events in from files.", no_args_is_help=True)
    group.command("customers")(customers)
    group.command("events")(events)
    app.add_typer(group, name="import")
