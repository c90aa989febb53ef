"""Mapping files: YAML that says what each column of a file becomes.

kind: customers
columns:
  手机号: phone
  生日: {to: birthday, format: "%d.%m.%Y"}
  备注: null
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from engine.customers.importing.columns import OF_EVENTS, Column, Mapped, What
from engine.language.addresses import KINDS
from engine.language.loader import load, plain_data

_KEYS: Final = frozenset({"kind", "event", "columns"})


class MappingMistake(ValueError):
    """What is wrong with a mapping file, and where."""


def read_mapping(path: str, text: str, what: What, names: tuple[str, ...] = ()) -> Mapped:
    """The mapping of a file. Columns that it does not name are left out.

    Args:
        names: the columns of the file that is to be imported; those of JSON lines may come later.

    Raises:
        MappingMistake: it has mistakes; the first is told.
    """
    root, reporter = load(path, text)
    for found in reporter.found:
        raise MappingMistake(f"{path}:{found.line}: {found.message}")
    data = plain_data(root) if root is not None else None
    if not isinstance(data, dict) or not isinstance(data.get("columns"), dict):
        raise MappingMistake(f"{path}: expected `columns`, a mapping of the file's columns")
    if unknown := sorted(data.keys() - _KEYS):
        raise MappingMistake(f"{path}: unknown key `{unknown[0]}`; expected {', '.join(sorted(_KEYS))}")
    if data.get("kind", what) != what:
        raise MappingMistake(f"{path}: is for {data['kind']}, not for {what}")
    columns = [column for name, value in data["columns"].items() if (column := _column(path, name, value))]
    if names and (lost := next((column.name for column in columns if column.name not in names), None)):
        raise MappingMistake(f"{path}: there is no column `{lost[:60]}` in the file")
    twice = _twice(columns)
    if twice is not None:
        raise MappingMistake(f"{path}: two columns become `{twice[:60]}`")
    event = data.get("event")
    if event is not None and not isinstance(event, str):
        raise MappingMistake(f"{path}: event: expected the name of all events")
    given = {column.name for column in columns}
    return Mapped(what, tuple(columns), tuple(name for name in names if name not in given), event)


def write_mapping(mapped: Mapped) -> str:
    """The mapping as a file of its own, to be looked over."""
    return "\n".join(_lines(mapped)) + "\n"


def mapping_data(mapped: Mapped) -> dict[str, Any]:
    """As JSON, for a job that goes on later."""
    return {
        "what": mapped.what,
        "columns": [[column.name, column.to, column.format] for column in mapped.columns],
        "left_out": list(mapped.left_out),
        "event": mapped.event,
    }


def mapping_of(data: dict[str, Any]) -> Mapped:
    """What `mapping_data` kept."""
    columns = tuple(Column(*each) for each in data["columns"])
    return Mapped(data["what"], columns, tuple(data["left_out"]), data["event"])


def _column(path: str, name: str, value: Any) -> Column | None:
    if value is None:
        return None
    form = None
    if isinstance(value, dict):
        if not value.keys() <= {"to", "format"}:
            raise MappingMistake(f"{path}: column `{name[:60]}`: expected `to` and `format`")
        value, form = value.get("to"), value.get("format")
    if not isinstance(value, str) or not value or (form is not None and not isinstance(form, str)):
        raise MappingMistake(f"{path}: column `{name[:60]}`: expected what it becomes, such as `phone`")
    return Column(name, value, form)


def _twice(columns: list[Column]) -> str | None:
    seen: set[str] = set()
    for column in columns:
        # Of some kinds a person may have several, so that two columns of phone numbers are fine.
        if column.to in seen and (column.to not in KINDS or column.to in ("external_id", *OF_EVENTS)):
            return column.to
        seen.add(column.to)
    return None


def _lines(mapped: Mapped) -> Iterator[str]:
    yield f"kind: {mapped.what}"
    if mapped.event is not None:
        yield f"event: {json.dumps(mapped.event, ensure_ascii=False)}"
    yield "columns:"
    for column in mapped.columns:
        to = json.dumps(column.to, ensure_ascii=False)
        shown = to if column.format is None else f"{{to: {to}, format: {json.dumps(column.format)}}}"
        yield f"  {json.dumps(column.name, ensure_ascii=False)}: {shown}"
    for name in mapped.left_out:
        if name:
            yield f"  {json.dumps(name, ensure_ascii=False)}: null"
