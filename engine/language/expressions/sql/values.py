"""Values while they are written as SQL, and how each is read as one of the language's types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from engine.language.expressions.sql.writer import NotInSql, Writer

HUGE: Final = Decimal(2**1024 - 2**970)
"""From here on a number is no double."""
TINY: Final = Decimal("2.4703282292062328e-324")
"""Up to here a number rounds to the double 0."""
EXACT: Final = 2**53

ANY: Final = frozenset({"text", "number", "boolean", "list", "object"})
JSON_KINDS: Final = {
    "text": "string",
    "number": "number",
    "boolean": "boolean",
    "list": "array",
    "object": "object",
}


@dataclass(frozen=True, slots=True)
class Constant:
    """Text, a number or a boolean that is known already."""

    value: bool | int | float | str

    @property
    def kind(self) -> str:
        if isinstance(self.value, bool):
            return "boolean"
        return "text" if isinstance(self.value, str) else "number"


@dataclass(frozen=True, slots=True)
class Scalar:
    """SQL of a `text`, `float8`, `boolean`, `date` or `timestamptz`.

    `simple` may stand in several places. `small`: a number that is never beyond 1e15. `bare` is the same
    number, but null where nothing was gathered and it is 0.
    """

    kind: str
    sql: str
    simple: bool = False
    small: bool = False
    bare: str | None = None


@dataclass(frozen=True, slots=True)
class Json:
    """SQL of a `jsonb` and of its text, read as a type of the catalogue or as `any`.

    Another type than that is null, and so is JSON's null.
    """

    sql: str
    text: str
    type: str
    simple: bool = False

    def inside(self, key: str) -> Json:
        """A property of an object; null of anything else."""
        return Json(f"({self.sql} -> {key})", f"({self.sql} ->> {key})", "any", self.simple)


@dataclass(frozen=True, slots=True)
class Many:
    """A list written out."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """All attributes of the profile as one object."""

    offset: int = 0


Value = Constant | Scalar | Json | Many | Whole | None


def json_of(sql: str, type_: str = "any", simple: bool = True) -> Json:
    return Json(sql, f"({sql} #>> '{{}}')", type_, simple)


def kinds(value: Value) -> frozenset[str]:
    """The types that a value may turn out to be of; none for null."""
    match value:
        case None:
            return frozenset()
        case Many():
            return frozenset({"list"})
        case Whole():
            return frozenset({"object"})
        case Json(type="any"):
            return ANY
        case Json(type=type_):
            return frozenset({type_})
    return frozenset({value.kind})


def is_of(json: Json, kind: str) -> str:
    """Whether a JSON value is of a kind, as SQL sees it: numbers may still be no doubles."""
    return f"jsonb_typeof({json.sql}) = '{JSON_KINDS[kind]}'"


def numeric(json: Json) -> str:
    """A JSON number; raises for anything else, so it stands behind `is_of`."""
    return f"CAST({json.sql} AS numeric)"


def is_number(w: Writer, json: Json) -> str:
    return f"CASE WHEN {is_of(json, 'number')} THEN abs({numeric(json)}) < {w.bind(HUGE, 'numeric')} END"


def double(w: Writer, sql: str) -> str:
    """A `numeric` as the nearest double, or null."""
    cast = f"CASE WHEN abs({sql}) > {w.bind(TINY, 'numeric')} THEN CAST({sql} AS float8) ELSE 0 END"
    return f"CASE WHEN abs({sql}) < {w.bind(HUGE, 'numeric')} THEN {cast} END"


def as_number(w: Writer, value: Value) -> Scalar | None:
    match value:
        case Constant(value=bool() | str()):
            return None
        case Constant(found):
            number = float(found)
            return Scalar("number", w.bind(number, "float8"), True, abs(number) <= 1e15)
        case Scalar(kind="number"):
            return value
        case Json(type="number" | "any"):
            sql = f"CASE WHEN {is_of(value, 'number')} THEN {double(w, numeric(value))} END"
            return Scalar("number", sql)
    return None


def as_text(w: Writer, value: Value) -> Scalar | None:
    match value:
        case Constant(value=str(found)):
            return Scalar("text", w.bind(found, "text"), True)
        case Scalar(kind="text"):
            return value
        case Json(type="text" | "any"):
            return Scalar("text", f"CASE WHEN {is_of(value, 'text')} THEN {value.text} END", value.simple)
    return None


def as_boolean(value: Value) -> Scalar | None:
    match value:
        case Constant(value=bool(found)):
            return Scalar("boolean", "true" if found else "false", True)
        case Scalar(kind="boolean"):
            return value
        case Json(type="boolean" | "any"):
            sql = f"CASE WHEN {is_of(value, 'boolean')} THEN {value.sql} = CAST('true' AS jsonb) END"
            return Scalar("boolean", sql, value.simple)
    return None


def holds(value: Value) -> str:
    """Whether a value is true; any other is not."""
    match value:
        case Constant(value=True):
            return "true"
        case Scalar(kind="boolean", sql=sql):
            return sql
        case Json(type="boolean" | "any", sql=sql):
            return f"{sql} = CAST('true' AS jsonb)"
    return "false"


def exists(w: Writer, value: Value) -> str:
    """Whether a value is not null: true or false. A date in JSON is parsed before (`moments.parsed`)."""
    match value:
        case None:
            return "false"
        case Constant() | Many() | Whole():
            return "true"
        case Scalar(sql=sql):
            return f"({sql} IS NOT NULL)"
        case Json(type="any"):
            size = f"abs({numeric(value)}) < {w.bind(HUGE, 'numeric')}"
            return (
                f"(jsonb_typeof({value.sql}) <> 'null' AND "
                f"CASE WHEN {is_of(value, 'number')} THEN {size} ELSE true END) IS TRUE"
            )
        case Json(type="number"):
            return f"({is_number(w, value)}) IS TRUE"
        case Json(type=type_):
            return f"({is_of(value, type_)}) IS TRUE"


def scalar(w: Writer, value: Value) -> str:
    """A value as a column of its own type."""
    match value:
        case None:
            return "NULL"
        case Many() | Whole():
            raise NotInSql("a list or the whole profile is no column")
        case Json(type="list" | "object" | "any"):
            return f"CASE WHEN {exists(w, value)} THEN {value.sql} END"
        case Json(type="text") | Constant(value=str()):
            found: Value = as_text(w, value)
        case Json(type="boolean") | Constant(value=bool()):
            found = as_boolean(value)
        case Json() | Constant():
            found = as_number(w, value)
        case _:
            found = value
    return found.sql if isinstance(found, Scalar) else "NULL"


def once(w: Writer, values: Sequence[Value], build: Callable[..., str]) -> str:
    """SQL in which each value may be named several times, and is worked out once."""
    listed: list[str] = []
    alias = w.alias()
    bound = [_bound(value, listed, alias) for value in values]
    sql = build(*bound)
    if listed:
        sql = f"(SELECT {sql} FROM (SELECT {', '.join(listed)} OFFSET 0) {alias})"
    return w.grown(sql)


def _bound(value: Value, listed: list[str], alias: str) -> Value:
    match value:
        case Scalar(simple=False) | Json(simple=False):
            name = f"a{len(listed) + 1}"
            listed.append(f"{value.sql} AS {name}")
            column = f"{alias}.{name}"
            if isinstance(value, Json):
                return json_of(column, value.type)
            return replace(value, sql=column, simple=True)
        case Many(items):
            return Many(tuple(_bound(item, listed, alias) for item in items))
    return value
