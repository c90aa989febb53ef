"""What is gathered while a tree is written as SQL: parameters, and the tables joined to each profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Way = Literal["all", "each"]
"""How facts beside the profile are found: `all` aggregates them once for everybody and joins; `each` looks
them up for one profile after the other, for statements that look at few."""

LARGEST_STATEMENT = 500_000
"""Characters of SQL beyond which a segment is refused: definitions that use each other over and over."""


class NotInSql(ValueError):
    """An expression that has no SQL. `offset` is its place in the text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(slots=True)
class Gathered:
    """Rows of one table, aggregated for each profile. `columns`: SQL of an aggregate to its name.

    Without a `where` the table has one row a profile, and its columns are taken as they are.
    """

    alias: str
    source: str
    where: str
    order: str | None = None
    """`DISTINCT ON` instead of aggregates: the first row in this order."""
    columns: dict[str, str] = field(default_factory=dict)

    def column(self, sql: str) -> str:
        name = self.columns.setdefault(sql, f"c{len(self.columns) + 1}")
        return f"{self.alias}.{name}"

    def joined(self, way: Way) -> str:
        """The `LEFT JOIN` that follows `profiles p`."""
        listed = ", ".join(f"{sql} AS {name}" for sql, name in self.columns.items())
        if not self.where:
            return (
                f"LEFT JOIN (SELECT r.profile_id, {listed} FROM {self.source}) {self.alias} "
                f"ON {self.alias}.profile_id = p.id"
            )
        if way == "each":
            last = f" ORDER BY {self.order} LIMIT 1" if self.order else ""
            return (
                f"LEFT JOIN LATERAL (SELECT {listed} FROM {self.source} "
                f"WHERE r.profile_id = p.id AND {self.where}{last}) {self.alias} ON true"
            )
        if self.order:
            return (
                f"LEFT JOIN (SELECT DISTINCT ON (r.profile_id) r.profile_id, {listed} FROM {self.source} "
                f"WHERE {self.where} ORDER BY r.profile_id, {self.order}) {self.alias} "
                f"ON {self.alias}.profile_id = p.id"
            )
        return (
            f"LEFT JOIN (SELECT r.profile_id, {listed} FROM {self.source} WHERE {self.where} "
            f"GROUP BY r.profile_id) {self.alias} ON {self.alias}.profile_id = p.id"
        )


@dataclass(slots=True)
class Writer:
    """Parameters and joins of one statement. `prefix` begins the names of its parameters."""

    now: datetime
    prefix: str = "x"
    parameters: dict[str, Any] = field(default_factory=dict)
    tables: dict[tuple[str, ...], Gathered] = field(default_factory=dict)
    size: int = 0
    _known: dict[tuple[str, str], str] = field(default_factory=dict)
    _aliases: int = 0

    def bind(self, value: Any, type_: str) -> str:
        """A parameter; equal values share one."""
        place = (type_, repr(value))
        if place not in self._known:
            name = f"{self.prefix}{len(self.parameters) + 1}"
            self.parameters[name] = value
            self._known[place] = f"CAST(:{name} AS {type_})"
        return self._known[place]

    def alias(self) -> str:
        self._aliases += 1
        return f"v{self._aliases}"

    def table(self, key: tuple[str, ...], make: Callable[[str], Gathered]) -> Gathered:
        """The joined table of this key, made when first asked for."""
        if key not in self.tables:
            self.tables[key] = make(f"t{len(self.tables) + 1}")
        return self.tables[key]

    def grown(self, sql: str) -> str:
        """Notes that the statement grew by this text.

        Raises:
            NotInSql: it is too large.
        """
        self.size += len(sql)
        if len(sql) > LARGEST_STATEMENT or self.size > 100 * LARGEST_STATEMENT:
            raise NotInSql("it is too large for one query, with the definitions that it uses")
        return sql

    def steps(self, first: str, *later: str, result: str) -> str:
        """A scalar that is worked out in steps, each of which names columns of the one before.

        Every step but the first begins with what it adds to them: `x + 1 AS y`.
        """
        source = f"(SELECT {first} OFFSET 0) {self.alias()}"
        for step in later:
            source = f"(SELECT *, {step} FROM {source} OFFSET 0) {self.alias()}"
        return self.grown(f"(SELECT {result} FROM {source})")
