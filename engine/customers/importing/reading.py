"""Rows of a file: CSV of any delimiter, JSON lines, Parquet; packed with gzip or not.

A row is its line (from 1, where it begins) and its cells by the name of their column. Empty cells are left
out, and so is what databases write for "nothing": `NULL`, `null`, `\\N`.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import importlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple, cast

from engine.customers.importing.encodings import Survey, Unreadable, pieces, survey

Layout = Literal["csv", "jsonl", "parquet"]
NOTHING: Final = frozenset({"", "NULL", "null", "\\N"})
DELIMITERS: Final = (",", ";", "\t", "|")
LONGEST_CELL: Final = 1 << 20
SAMPLE: Final = 1_000
"""JSON lines in which all names of columns are looked for."""
_DAMAGED: Final = "\ufffd"


class Row(NamedTuple):
    """One row. `why`: it cannot be read, for this reason; reasons hold no values."""

    line: int
    cells: Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was surveyed: how it is read, and what its columns are called."""

    path: Path
    layout: Layout
    digest: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    lines: int = 0
    """About so many rows; exactly, where the file says so itself."""
    total: int | None = None


def open_source(
    path: Path,
    encoding: str | None = None,
    delimiter: str | None = None,
    layout: Layout | None = None,
) -> Source:
    """Reads a file once, from end to end, so that nothing of it is imported if it cannot be read.

    Raises:
        Unreadable: no text in an encoding that can be told, no header, not Parquet although it is called so.
        OSError: the file cannot be read.
    """
    found = layout or _layout(path)
    if found == "parquet":
        return _parquet_source(path)
    try:
        with _unpacked(path) as file:
            seen = survey(file, encoding)
    except (EOFError, gzip.BadGzipFile) as error:
        raise Unreadable(f"not gzip as its first bytes say, or cut short ({type(error).__name__})") from None
    if found == "jsonl":
        filled = seen.lines - seen.ended
        return Source(path, found, seen.digest, seen.encoding, "", _json_columns(path, seen), filled)
    with _text(path, seen.encoding) as text:
        first = text.readline()
        mark = delimiter or _delimiter(first)
        text.seek(0)
        header = next(csv.reader(text, delimiter=mark), [])
    columns = tuple(name.strip().lstrip("\ufeff") for name in header)
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise Unreadable(f"line 1: two columns are called `{twice[:60]}`")
    if not any(columns):
        raise Unreadable("line 1: expected a header that names the columns")
    return Source(path, found, seen.digest, seen.encoding, mark, columns, max(0, seen.lines - seen.ended - 1))


def rows(source: Source, skip: int = 0) -> Iterator[Row]:
    """The rows, without the first `skip` of them.

    Raises:
        Unreadable: the file is broken from here on.
    """
    match source.layout:
        case "csv":
            yield from _csv_rows(source, skip)
        case "jsonl":
            yield from _json_rows(source, skip)
        case "parquet":
            yield from _parquet_rows(source, skip)


# --- text -----------------------------------------------------------------------------------------------


def _layout(path: Path) -> Layout:
    name = path.name.lower().removesuffix(".gz")
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    with contextlib.suppress(EOFError, gzip.BadGzipFile), _unpacked(path) as file:
        start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith(b"{") and not name.endswith(".csv"):
            return "jsonl"
    return "jsonl" if name.endswith((".jsonl", ".ndjson", ".json")) else "csv"


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.open(file) as inside:
                yield cast(IO[bytes], inside)
        else:
            yield file


@contextlib.contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    with _unpacked(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
        yield text


def _delimiter(first: str) -> str:
    """That which parts the header into the most columns."""
    return max(DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))


def _csv_rows(source: Source, skip: int) -> Iterator[Row]:
    with _text(source.path, source.encoding) as text:
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.reader(text, delimiter=source.delimiter)
        columns, width = source.columns, len(source.columns)
        try:
            next(reader, None)
            line = reader.line_num + 1
            for cells in reader:
                began, line = line, reader.line_num + 1
                if not cells or (len(cells) == 1 and not cells[0].strip()):
                    continue
                if skip:
                    skip -= 1
                    continue
                found = {
                    name: cell
                    for name, cell in zip(columns, cells, strict=False)
                    if cell not in NOTHING and not cell.isspace()
                }
                if len(cells) != width and (len(cells) < width or any(cells[width:])):
                    yield Row(began, found, f"{len(cells)} cells, the header has {width}")
                else:
                    yield Row(began, found, _damage(found))
        except csv.Error as error:
            raise Unreadable(
                f"line {line}: {error}; is a quote never closed, or the delimiter another (--delimiter)?"
            ) from None


def _damage(cells: Mapping[str, Any]) -> str:
    for name, cell in cells.items():
        if _DAMAGED in cell:
            return f"{name}: holds U+FFFD, so it was damaged before it came here"
    return ""


def _json_columns(path: Path, seen: Survey) -> tuple[str, ...]:
    found: dict[str, None] = {}
    with _text(path, seen.encoding) as text:
        for place, line in enumerate(text):
            if place >= SAMPLE:
                break
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(line)
                if isinstance(value, dict):
                    found |= dict.fromkeys(value)
    if not found:
        raise Unreadable("line 1: expected a JSON object on each line")
    return tuple(found)


def _json_rows(source: Source, skip: int) -> Iterator[Row]:
    with _text(source.path, source.encoding) as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            if skip:
                skip -= 1
                continue
            yield _json_row(number, line)


def _json_row(number: int, line: str) -> Row:
    try:
        value = json.loads(line)
    except RecursionError:
        return Row(number, {}, "nested too deep")
    except ValueError as error:
        column = getattr(error, "colno", None)
        return Row(number, {}, f"not JSON{f', column {column}' if column else ''}")
    if not isinstance(value, dict):
        return Row(number, {}, "expected a JSON object")
    if _DAMAGED in line:
        return Row(number, {}, "holds U+FFFD, so it was damaged before it came here")
    return Row(number, {name: each for name, each in value.items() if each != ""})


# --- Parquet --------------------------------------------------------------------------------------------


def _parquet() -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise Unreadable(
            "Parquet needs the package pyarrow: install Kairos as `kairos-journeys[parquet]`, or convert the "
            "file to CSV"
        ) from None
    return parquet


def _parquet_source(path: Path) -> Source:
    parquet = _parquet()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in pieces(file):
            digest.update(piece)
    try:
        with parquet.ParquetFile(path) as found:
            names = tuple(str(name) for name in found.schema_arrow.names)
            total = int(found.metadata.num_rows)
    except (OSError, ValueError) as error:
        raise Unreadable(f"no Parquet file that can be read ({type(error).__name__})") from None
    return Source(path, "parquet", digest.hexdigest(), "", "", names, total, total)


def _parquet_rows(source: Source, skip: int) -> Iterator[Row]:
    number = 0
    with _parquet().ParquetFile(source.path) as file:
        for batch in file.iter_batches(batch_size=5_000):
            if number + batch.num_rows <= skip:
                number += batch.num_rows
                continue
            for cells in batch.to_pylist():
                number += 1
                if number > skip:
                    yield Row(number, {n: v for n, v in cells.items() if v is not None and v != ""})
