"""Dates and instants: read from text, moved, and brought together in a time zone.

Python's calendar goes from year 1 to 9999; what lies outside is null here too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from engine.language.expressions.sql.values import Json, Scalar, Value, is_of, kinds
from engine.language.expressions.sql.writer import Writer

# Written out: as parameters asyncpg would make infinities of Python's first and last.
_INSTANTS: Final = (
    "CAST('0001-01-01 00:00:00+00' AS timestamptz) AND CAST('9999-12-31 23:59:59.999999+00' AS timestamptz)"
)
_DATES: Final = "CAST('0001-01-01' AS date) AND CAST('9999-12-31' AS date)"
_DATE: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_DATETIME: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?$"
)
_TIME: Final = "^.{11}([0-9:]+([.,][0-9]{1,6})?)"
_OFFSET: Final = "[+-][0-9]{2}:?[0-9]{2}$"


def in_calendar(sql: str) -> str:
    """An instant, or null where Python has none. `sql` is named several times."""
    return f"CASE WHEN {sql} BETWEEN {_INSTANTS} THEN {sql} END"


def of_local(w: Writer, local: str, zone: str) -> str:
    """The instant of a local `timestamp` in a zone.

    A local time that comes twice is the first. PostgreSQL takes the second there, and what Python takes in a
    gap: so the offset of the day before is tried too.
    """
    before = "later - interval '24:00'"
    offset = f"(({before}) AT TIME ZONE tz) - (({before}) AT TIME ZONE 'UTC')"
    found = "CASE WHEN earlier < later AND earlier AT TIME ZONE tz = lt THEN earlier ELSE later END"
    return w.steps(
        f"{local} AS lt, {zone} AS tz",
        "lt AT TIME ZONE tz AS later",
        f"(lt - ({offset})) AT TIME ZONE 'UTC' AS earlier",
        f"{found} AS hit",
        result=in_calendar("hit"),
    )


def _local_instant(w: Writer, text: str, zone: str | None) -> str:
    """The instant of a text that looks like one and has a day of the calendar. No `zone`: UTC."""
    steps = [
        f"CAST(left({text}, 10) || ' ' || replace(substring({text} from '{_TIME}'), ',', '.') AS timestamp)"
        f" AS lt, substring({text} from '{_OFFSET}') AS shift, {text} AS said",
        "CAST(left(shift, 3) || ':' || right(shift, 2) AS interval) AS away",
    ]
    universal = "lt AT TIME ZONE 'UTC'"
    bare = universal if zone is None else of_local(w, "lt", zone)
    steps.append(
        f"CASE WHEN shift IS NOT NULL THEN {universal} - away "
        f"WHEN right(said, 1) IN ('Z', 'z') THEN {universal} ELSE {bare} END AS hit"
    )
    return w.steps(*steps, result=in_calendar("hit"))


def _valid_day(text: str) -> str:
    return f"pg_input_is_valid(left({text}, 10), 'date')"


def date_of(w: Writer, text: str) -> str:
    """A date from text: its own, or the day of an instant's own text (`engine.language.types.coerce`)."""
    day = f"CAST(left({text}, 10) AS date)"
    moment = f"CASE WHEN {_local_instant(w, text, None)} IS NOT NULL THEN {day} END"
    return (
        f"CASE WHEN {text} ~ '{_DATE}' THEN CASE WHEN {_valid_day(text)} THEN {day} END "
        f"WHEN {text} ~ '{_DATETIME}' THEN CASE WHEN {_valid_day(text)} THEN {moment} END END"
    )


def instant_of(w: Writer, text: str, zone: str | None) -> str:
    """An instant from text; a bare date is midnight. `zone`: of texts without an offset; none: UTC."""
    midnight = f"CAST(CAST(left({text}, 10) AS date) AS timestamp)"
    begins = f"{midnight} AT TIME ZONE 'UTC'" if zone is None else of_local(w, midnight, zone)
    return (
        f"CASE WHEN {text} ~ '{_DATE}' THEN CASE WHEN {_valid_day(text)} THEN {begins} END "
        f"WHEN {text} ~ '{_DATETIME}' THEN "
        f"CASE WHEN {_valid_day(text)} THEN {_local_instant(w, text, zone)} END END"
    )


def parsed(w: Writer, value: Value, zone: str | None) -> Value:
    """A JSON `date` or `datetime` as the scalar that its text says; other values as they are."""
    match value:
        case Json(type="date"):
            found = date_of(w, value.text)
        case Json(type="datetime"):
            found = instant_of(w, value.text, zone)
        case _:
            return value
    return Scalar(value.type, f"CASE WHEN {is_of(replaced(value), 'text')} THEN {found} END")


def replaced(value: Json) -> Json:
    return Json(value.sql, value.text, "text", value.simple)


def as_instant(w: Writer, value: Value, zone: Callable[[], str]) -> Scalar | None:
    """A parsed date or instant as an instant; a date begins at midnight in the zone."""
    if not isinstance(value, Scalar) or not kinds(value) & {"date", "datetime"}:
        return None
    if value.kind == "datetime":
        return value
    return Scalar("datetime", of_local(w, f"CAST({value.sql} AS timestamp)", zone()))


def moved(w: Writer, value: Value, length: timedelta, sign: str) -> Value:
    """A parsed date or instant moved by a length; a date only by whole days."""
    if not isinstance(value, Scalar) or value.kind not in ("date", "datetime"):
        return None
    if value.kind == "date":
        if length % timedelta(days=1):
            return None
        sql = w.steps(
            f"{value.sql} {sign} {w.bind(length.days, 'integer')} AS hit",
            result=f"CASE WHEN hit BETWEEN {_DATES} THEN hit END",
        )
        return Scalar("date", sql)
    seconds = w.bind(float(length // timedelta(seconds=1)), "float8")
    sql = w.steps(f"{value.sql} {sign} make_interval(secs => {seconds}) AS hit", result=in_calendar("hit"))
    return Scalar("datetime", sql)


def days_since(w: Writer, value: Value, zone: Callable[[], str]) -> Value:
    """Whole days up to now, rounded down; of a date, days of the calendar."""
    if not isinstance(value, Scalar) or value.kind not in ("date", "datetime"):
        return None
    now = w.bind(w.now, "timestamptz")
    if value.kind == "date":
        sql = f"CAST(CAST({now} AT TIME ZONE {zone()} AS date) - ({value.sql}) AS float8)"
    else:
        sql = f"CAST(floor(extract(epoch FROM {now} - ({value.sql})) / 86400) AS float8)"
    return Scalar("number", sql, small=True)
