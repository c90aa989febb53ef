"""A batch of rows as one parameter.

`records` turns a JSON array of objects into rows inside SQL. The statement's text does not depend on how
many rows there are, so it is prepared once, and a batch has no limit on its number of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import RowMapping

from engine.store import jsonb

T = TypeVar("T")


def records(**columns: str) -> str:
    """`FROM` item that reads parameter `:rows`, with the columns and PostgreSQL types given."""
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset(CAST(:rows AS json)) AS r({listed})"


def rows(values: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameter of `records`. Instants and dates are written in ISO form."""
    return {"rows": jsonb.dump_rows([value if type(value) is dict else dict(value) for value in values])}


def build(kind: type[T], row: RowMapping) -> T:
    """The dataclass `kind` from a row that has a column for each of its fields."""
    names = _names(cast(Any, kind))
    return kind(*[row[name] for name in names])


@lru_cache(maxsize=64)
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def columns(kind: type[Any], alias: str = "") -> str:
    """The select list for `build`."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + field.name for field in fields(kind))
