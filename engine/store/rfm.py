"""Recency, frequency and money of all customers at once, and of a few by the cut points that left.

Theory of operation. Among the N customers with such an event, the k-th of q - 1 cut points of a measure is
the value of the customer in place ⌈k·N/q⌉ from the bottom: the quantile that needs no interpolation (type 1
of Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996; PostgreSQL's `percentile_disc`). A score
is one more than the number of cut points that the customer's own value exceeds. So equal values have equal
scores, and without ties each score has its q-th part of the customers, as the quintiles of the practice have
(Arthur Hughes, Strategic Database Marketing, 1994). The measures are the instant of the last event, the
number of events, and the sum of their money.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import jsonb

MEASURES: Final = ("recency", "frequency", "monetary")
_MEMORY: Final = "128MB"
_HIGHEST: Final = "1e15"  # what the language takes for a number


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured. `names`: the segment of each cell, in order of recency, frequency and money."""

    event: str
    money: str
    quantiles: int
    within: timedelta | None = None
    names: tuple[str | None, ...] = ()

    @property
    def definition(self) -> dict[str, Any]:
        """What cut points depend on."""
        within = None if self.within is None else self.within.total_seconds()
        return {
            "event": self.event,
            "money": self.money,
            "within": within,
            "quantiles": self.quantiles,
        }

    def cell(self, recency: int, frequency: int, monetary: int) -> str | None:
        """The segment of a cell."""
        place = ((recency - 1) * self.quantiles + frequency - 1) * self.quantiles + monetary - 1
        return self.names[place] if place < len(self.names) else None


@dataclass(frozen=True, slots=True)
class Cuts:
    """The cut points over a base of so many customers, as of a logical instant."""

    base: int
    recency: Sequence[datetime]
    frequency: Sequence[int]
    monetary: Sequence[float]
    computed_at: datetime
    definition: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What a recomputation came to: customers in the base, and rows that it had to write or take away."""

    base: int
    written: int
    gone: int


Cell = tuple[int, int, int]


def _amount() -> str:
    value = "(e.properties -> :money)"
    found = f"sum(CASE WHEN jsonb_typeof{value} = 'number' THEN CAST({value} AS numeric) END)"
    bounded = f"least(greatest({found}, -{_HIGHEST}), {_HIGHEST})"
    return f"coalesce(CAST({bounded} AS float8), 0)"


def _measures(measured: Measured, of_some: bool = False) -> str:
    since = "" if measured.within is None else "AND e.occurred_at >= :since "
    whose = "AND e.profile_id = ANY(CAST(:ids AS uuid[])) " if of_some else ""
    return f"""
        SELECT m.* FROM (
            SELECT e.profile_id, max(e.occurred_at) AS recency, count(*) AS frequency, {_amount()} AS monetary
            FROM events e WHERE e.name = :event AND e.occurred_at <= :at {since}{whose}
            GROUP BY e.profile_id) m
        JOIN profiles p ON p.id = m.profile_id AND p.merged_into IS NULL"""


def _cuts() -> str:
    # Half a place below the wanted one, so that no rounding of the share can miss it.
    share = "(CAST((k * n + :quantiles - 1) / :quantiles AS float8) - 0.5) / n"
    columns = ", ".join(
        f"percentile_disc((SELECT found FROM shares)) WITHIN GROUP (ORDER BY {name}) AS {name}"
        for name in MEASURES
    )
    return f"""
        shares AS MATERIALIZED (
            SELECT array_agg({share} ORDER BY k) AS found
            FROM (SELECT count(*) AS n FROM measured) c,
                generate_series(1, CAST(:quantiles - 1 AS bigint)) k WHERE n > 0),
        cuts AS MATERIALIZED (SELECT count(*) AS base, {columns} FROM measured)"""


def _scored(quantiles: int) -> str:
    def score(name: str) -> str:
        passed = [f"CAST(m.{name} > c.{name}[{k}] AS integer)" for k in range(1, quantiles)]
        return f"{' + '.join(['1', *passed])} AS {name}"

    place = f"((recency - 1) * {quantiles} + frequency - 1) * {quantiles} + monetary"
    return f"""scored AS (
        SELECT profile_id, recency, frequency, monetary, (CAST(:names AS text[]))[{place}] AS segment
        FROM (SELECT m.profile_id, {", ".join(map(score, MEASURES))} FROM measured m, cuts c OFFSET 0) s
        OFFSET 0)"""


_LISTED: Final = "recency, frequency, monetary, segment"
_WRITTEN: Final = f"""written AS (
    INSERT INTO rfm AS r (profile_id, {_LISTED}, computed_at)
    SELECT s.profile_id, s.recency, s.frequency, s.monetary, s.segment, :at
    FROM scored s LEFT JOIN rfm o ON o.profile_id = s.profile_id
    WHERE o.profile_id IS NULL
        OR (o.recency, o.frequency, o.monetary) <> (s.recency, s.frequency, s.monetary)
        OR o.segment IS DISTINCT FROM s.segment
    ON CONFLICT (profile_id) DO UPDATE SET (recency, frequency, monetary, segment, computed_at) =
        (excluded.recency, excluded.frequency, excluded.monetary, excluded.segment, excluded.computed_at)
    RETURNING 1)"""
_GONE: Final = """gone AS (
    DELETE FROM rfm r WHERE {whose}NOT EXISTS (SELECT FROM measured m WHERE m.profile_id = r.profile_id)
    RETURNING 1)"""
_COUNTED: Final = "(SELECT count(*) FROM written) AS written, (SELECT count(*) FROM gone) AS gone"


def _values(measured: Measured, at: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"event": measured.event, "money": measured.money, "at": at}
    if measured.within is not None:
        values["since"] = at - measured.within
    return values


async def recompute(connection: AsyncConnection, measured: Measured, at: datetime) -> Recomputed:
    """Scores every customer as of a logical instant, and keeps the cut points. Only changes are written.

    Nobody else scores before the transaction ends: whoever does it then goes by the new cut points.
    """
    await connection.execute(sa.text("LOCK TABLE rfm IN SHARE ROW EXCLUSIVE MODE"))
    # Groups and sorts of everybody take a fraction of the time in memory. What writes does not read in
    # parallel, so what is read comes first.
    await connection.execute(sa.text(f"SET LOCAL work_mem = '{_MEMORY}'"))
    await connection.execute(
        sa.text(f"CREATE TEMPORARY TABLE measured ON COMMIT DROP AS {_measures(measured)}"),
        _values(measured, at),
    )
    await connection.execute(sa.text("ANALYZE measured"))
    filled = ", ".join(f"coalesce({name}, '{{}}')" for name in MEASURES)
    result = await connection.execute(
        sa.text(f"""
            WITH {_cuts()}, {_scored(measured.quantiles)}, {_WRITTEN},
            {_GONE.format(whose="")},
            kept AS (
                INSERT INTO rfm_cuts (id, definition, base, recency, frequency, monetary, computed_at)
                SELECT 1, CAST(:definition AS jsonb), base, {filled}, :at FROM cuts
                ON CONFLICT (id) DO UPDATE SET
                    (definition, base, recency, frequency, monetary, computed_at) =
                    (excluded.definition, excluded.base, excluded.recency, excluded.frequency,
                     excluded.monetary, excluded.computed_at))
            SELECT (SELECT base FROM cuts) AS base, {_COUNTED}
        """),
        {
            "at": at,
            "quantiles": measured.quantiles,
            "names": list(measured.names),
            "definition": jsonb.dumps(measured.definition),
        },
    )
    return Recomputed(*result.one())


async def rescore(
    connection: AsyncConnection, measured: Measured, profile_ids: Collection[str], at: datetime
) -> int:
    """Scores some customers by the cut points of the last recomputation; returns how many changed.

    Nothing happens before the first one, nor where something else was measured by it.
    """
    result = await connection.execute(
        sa.text(f"""
            WITH measured AS MATERIALIZED ({_measures(measured, of_some=True)}),
            cuts AS (SELECT * FROM rfm_cuts WHERE definition = CAST(:definition AS jsonb) AND base > 0),
            {_scored(measured.quantiles)}, {_WRITTEN},
            {_GONE.format(whose="r.profile_id = ANY(CAST(:ids AS uuid[])) AND ")}
            SELECT {_COUNTED}
        """),
        {
            **_values(measured, at),
            "ids": sorted(set(profile_ids)),
            "names": list(measured.names),
            "definition": jsonb.dumps(measured.definition),
        },
    )
    row = result.one()
    return int(row.written + row.gone)


async def as_of(
    connection: AsyncConnection, measured: Measured, at: datetime
) -> tuple[Cuts, dict[Cell, int]]:
    """What a recomputation as of an instant would come to: cut points, and customers by scores."""
    filled = ", ".join(f"coalesce(c.{name}, '{{}}') AS {name}" for name in MEASURES)
    result = await connection.execute(
        sa.text(f"""
            WITH measured AS MATERIALIZED ({_measures(measured)}), {_cuts()}, {_scored(measured.quantiles)}
            SELECT c.base, {filled}, (
                SELECT coalesce(jsonb_agg(jsonb_build_array(recency, frequency, monetary, n)), '[]')
                FROM (SELECT recency, frequency, monetary, count(*) AS n FROM scored GROUP BY 1, 2, 3) g
            ) AS cells FROM cuts c
        """).columns(cells=JSONB),
        {**_values(measured, at), "quantiles": measured.quantiles, "names": list(measured.names)},
    )
    row = result.one()
    cuts = Cuts(row.base, row.recency, row.frequency, row.monetary, at, measured.definition)
    return cuts, {(r, f, m): n for r, f, m, n in row.cells}


async def standing(connection: AsyncConnection) -> tuple[Cuts, dict[Cell, int]] | None:
    """What is kept: the cut points of the last recomputation, and customers by their scores now."""
    found = await connection.execute(
        sa.text("SELECT * FROM rfm_cuts").columns(definition=JSONB),
    )
    row = found.one_or_none()
    if row is None:
        return None
    cells = await connection.execute(
        sa.text("SELECT recency, frequency, monetary, count(*) FROM rfm GROUP BY 1, 2, 3")
    )
    cuts = Cuts(row.base, row.recency, row.frequency, row.monetary, row.computed_at, row.definition)
    return cuts, {(r, f, m): n for r, f, m, n in cells}


async def of_profiles(
    connection: AsyncConnection, profile_ids: Collection[str]
) -> dict[str, tuple[int, int, int, str | None]]:
    """Recency, frequency, money and segment of those who have any."""
    result = await connection.execute(
        sa.text(
            f"SELECT profile_id, {_LISTED} FROM rfm WHERE profile_id = ANY(CAST(:ids AS uuid[]))"
        ).columns(profile_id=sa.Uuid(as_uuid=False)),
        {"ids": sorted(set(profile_ids))},
    )
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in result}
