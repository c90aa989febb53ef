"""What the definition of the language is built of.

A shape says which nodes are well formed. `schema` puts the language together from them; `conforming` holds
nodes against them; the JSON Schema and the reference tables are read from the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass

from engine.language import scalars, schedules
from engine.language.regions import is_region


@dataclass(frozen=True, slots=True)
class TextKind:
    """A kind of text: how it is told, what is said when it is malformed, its pattern for editors."""

    code: str
    what: str
    expected: str
    accepts: Callable[[str], bool]
    pattern: str | None = None

    @property
    def named(self) -> str:
        """With its article: `a length`, `an address`."""
        return f"{'an' if self.what[0] in 'aeiou' else 'a'} {self.what}"


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


_ID = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_EVENT = r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,198}[^\s\x00-\x1f])?"
_LENGTH = r"([0-9]+[smhdw])+"


def _is_moment(text: str) -> bool:
    if re.match(r"[0-9]{1,2}:", text):
        return scalars.read_time(text) is not None
    if re.match(r"[0-9]{4}-[0-9]{2}", text):
        return scalars.read_date(text) is not None or scalars.read_instant(text) is not None
    return True


KINDS: dict[str, TextKind] = {
    "text": TextKind("J203", "text", "text", lambda text: True),
    "expression": TextKind("J501", "expression", "an expression", lambda text: True),
    "id": TextKind(
        "J208",
        "name",
        "lower-case letters, digits and single hyphens between them",
        _matches(_ID),
        f"^{_ID}$",
    ),
    "word": TextKind(
        "J208", "name", "letters, digits and `_`, not beginning with a digit", _matches(_WORD), f"^{_WORD}$"
    ),
    "label": TextKind(
        "J208", "name", "a short name", lambda text: 0 < len(text) <= 100 and text == text.strip()
    ),
    "event": TextKind(
        "J208", "event name", "a name of at most 200 characters, such as `order.paid`", _matches(_EVENT)
    ),
    "length": TextKind(
        "J204",
        "length of time",
        "digits and a unit s, m, h, d or w, such as `90m` or `3d`",
        lambda text: scalars.read_length(text) is not None,
        f"^{_LENGTH}$",
    ),
    "positive_length": TextKind(
        "J204",
        "length of time",
        "a length above zero, such as `90m` or `3d`",
        lambda text: bool(scalars.read_length(text)),
        f"^{_LENGTH}$",
    ),
    "offset": TextKind(
        "J204",
        "length of time",
        "a length, with `-` for earlier, such as `-1d`",
        lambda text: scalars.read_length(text, signed=True) is not None,
        f"^-?{_LENGTH}$",
    ),
    "percentage": TextKind(
        "J205",
        "percentage",
        "a percentage from 0 to 100 with at most two decimals, such as `5%`",
        lambda text: scalars.read_percentage(text) is not None,
        r"^[0-9]{1,3}(\.[0-9]{1,2})? ?%$",
    ),
    "time": TextKind(
        "J207",
        "time of day",
        "hours and minutes, such as `09:00`",
        lambda text: scalars.read_time(text) is not None,
        r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$",
    ),
    "window_time": TextKind(
        "J207",
        "time of day",
        "hours and minutes, such as `09:00`; `24:00` is the end of the day",
        scalars.is_window_time,
        r"^(24:00|([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)$",
    ),
    "moment": TextKind(
        "J206", "moment", "a time such as `10:00`, a date, an instant, or an expression", _is_moment
    ),
    "instant": TextKind(
        "J206",
        "instant",
        "a date and time such as `2026-11-11T10:00+08:00`",
        lambda text: scalars.read_instant(text) is not None,
    ),
    "start": TextKind(
        "J206",
        "instant",
        "a date and time such as `2026-11-11T10:00+08:00`, or a date",
        lambda text: scalars.read_instant(text) is not None or scalars.read_date(text) is not None,
    ),
    "property": TextKind("J208", "property name", "a name", lambda text: 0 < len(text) <= 200),
    "zone": TextKind("J213", "time zone", "a name such as `Asia/Shanghai`", scalars.is_zone),
    "step_zone": TextKind(
        "J213",
        "time zone",
        "`profile`, `installation`, or a name such as `Asia/Shanghai`",
        lambda text: text in ("profile", "installation") or scalars.is_zone(text),
    ),
    "region": TextKind(
        "J221",
        "region",
        "a region's two capital letters, such as `CN`",
        is_region,
        "^[A-Z]{2}$",
    ),
    "profile_attribute": TextKind(
        "J208",
        "attribute of the profile",
        "an attribute such as `profile.birthday`",
        _matches(rf"profile\.{_WORD}"),
        rf"^profile\.{_WORD}$",
    ),
    "cron": TextKind(
        "J223",
        "schedule",
        "five fields as in cron: minute, hour, day, month, day of the week, such as `0 10 * * MON`",
        schedules.is_cron,
    ),
    "rate": TextKind(
        "J216",
        "rate",
        "a number a second, minute, hour or day, such as `20/s`",
        lambda text: scalars.read_rate(text) is not None,
        r"^[0-9]+/[smhd]$",
    ),
    "url": TextKind(
        "J203",
        "address",
        "an address that begins with `https://` or `http://`, or `${NAME}`",
        lambda text: (
            re.match(r"https?://[^\s/]|\$\{[A-Z_][A-Z0-9_]*\}", text) is not None and " " not in text
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a kind (see `KINDS`), or one of `choices`; `later` are choices of coming versions."""

    kind: str = "text"
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    least: float | None = None
    most: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Boolean:
    only: bool | None = None


@dataclass(frozen=True, slots=True)
class Null:
    """An empty value, where it means something."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any data."""


@dataclass(frozen=True, slots=True)
class Listing:
    item: Shape
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are the author's own."""

    value: Shape
    key: str = "label"
    least: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    shape: Shape
    doc: str
    needed: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """A mapping with known keys; with `one_of`, at least one of those is needed."""

    doc: str
    fields: Map[str, Field]
    later: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A mapping that has exactly one of the keys of `forms`, and then that form's fields."""

    doc: str
    what: str
    forms: Map[str, Object]
    later: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """One of several shapes, told apart by whether the node is text, number, list or mapping."""

    shapes: tuple[Shape, ...]
    expected: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A shape by name, for those that hold themselves."""

    name: str


Shape = Text | Number | Boolean | Null | Anything | Listing | Table | Object | Choice | Either | Ref

DEFINITIONS: dict[str, Shape] = {}
"""Shapes that `Ref` names."""
