"""A list of customers in a file: one identifier a line, or CSV with a header that names the kind."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.cli.lookup import as_uuid
from engine.store.crowd_members import Named
from engine.store.tables import PROFILE_KINDS

PROFILE_ID: Final = "profile_id"


@dataclass(frozen=True, slots=True)
class Line:
    """One customer of the file. `named` is None where the line names nobody, for the reason in `why`."""

    number: int
    text: str
    named: Named | None
    why: str = ""


def read_list(path: Path) -> Iterator[Line]:
    """The lines that are not empty.

    The first line is a header if one of its columns is a kind of identifier, or `profile_id`; the first such
    column counts. Otherwise a line is an identifier of any kind, `KIND:VALUE`, or a profile's id.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        column = _header(file.readline())
        file.seek(0)
        if column is None:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield Line(number, text, named(text))
        else:
            rows = csv.reader(file)
            next(rows)
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield _of_column(rows.line_num, row, *column)


def named(text: str) -> Named:
    """Whom `kairos find` would look for."""
    kind, colon, value = text.partition(":")
    of_kind = colon and kind and value
    return Named(text, kind if of_kind else None, value if of_kind else None, as_uuid(text))


def write_rejects(path: Path, lines: Iterator[Line], not_one: Mapping[int, int]) -> Path | None:
    """Writes beside the list which of its lines led to no single customer, and why; None if all did.

    `not_one`: place among the lines that name somebody, to how many customers it leads.
    """
    rejects = path.with_suffix(".rejects.csv")
    found, place = list[tuple[int, str, str]](), 0
    for line in lines:
        if line.named is None:
            found.append((line.number, line.text, line.why))
            continue
        if (count := not_one.get(place)) is not None:
            found.append((line.number, line.text, _why(count)))
        place += 1
    if not found:
        return None
    with rejects.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "text", "reason"))
        writer.writerows(found)
    return rejects


def _why(count: int) -> str:
    if count == 0:
        return "nobody is known as this"
    return f"leads to {count} customers: say which with KIND:VALUE, or by profile id"


def _header(first: str) -> tuple[int, str] | None:
    """Column and kind."""
    for place, cell in enumerate(next(csv.reader([first]), [])):
        if cell.strip() in (*PROFILE_KINDS, PROFILE_ID):
            return place, cell.strip()
    return None


def _of_column(number: int, row: list[str], place: int, kind: str) -> Line:
    text = row[place].strip() if place < len(row) else ""
    if not text:
        return Line(number, ",".join(row), None, f"there is no {kind} on this line")
    if kind != PROFILE_ID:
        return Line(number, text, Named(kind=kind, value=text))
    if (profile_id := as_uuid(text)) is None:
        return Line(number, text, None, "expected the id of a profile")
    return Line(number, text, Named(profile_id=profile_id))
