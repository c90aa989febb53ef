"""A batch of rows as one parameter.

`records` turns a JSON array of objects into rows inside SQL. The statement's text does not depend on how
many rows there are, so it is prepared once, and a batch has no limit on its number of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import RowMapping

from engine.store import jsonb

T = TypeVar("T")


def records(**columns: str) -> str:
    """`FROM` item that reads parameter `:rows`, with the columns and PostgreSQL types given."""
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset(CAST(:rows AS json)) AS r({listed})"


def rows(values: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameter of `records`. Instants and dates are written in ISO form."""
    return {"rows": jsonb.dumps([{k: _plain(v) for k, v in value.items()} for value in values])}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else value


def build(kind: type[T], row: RowMapping) -> T:
    """The dataclass `kind` from a row that has a column for each of its fields."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def columns(kind: type[Any], alias: str = "") -> str:
    """The select list for `build`."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + field.name for field in fields(kind))
