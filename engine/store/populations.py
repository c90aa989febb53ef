"""Asking everybody: how many customers a condition holds for, who they are, what each part of it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.expressions.sql import Condition, Way
from engine.store import batch
from engine.store.profiles import Profile

SAMPLE: Final = 5_000
"""Profiles that are looked at to see how many a cheap condition leaves."""
SMALL: Final = 50_000
"""Below so many profiles it does not matter how facts are found."""
FEW: Final = 0.1
"""Share of the profiles up to which looking facts up one by one is quicker than aggregating all of them."""

_TYPES: Final[dict[str, Any]] = {
    "id": sa.Uuid(as_uuid=False),
    "merged_into": sa.Uuid(as_uuid=False),
    "addresses": JSONB,
    "attributes": JSONB,
}


async def count(connection: AsyncConnection, condition: Condition) -> int:
    """How many customers the condition holds for."""
    found = await connection.execute(sa.text(f"SELECT count(*) {_from(condition)}"), condition.parameters)
    return int(found.scalar_one())


async def preview(
    connection: AsyncConnection, condition: Condition, limit: int, after: str | None = None
) -> list[Profile]:
    """The first of them by id; `after` is the id of the last one seen."""
    clause = "" if after is None else " AND p.id > CAST(:after AS uuid)"
    result = await connection.execute(
        sa.text(
            f"SELECT {batch.columns(Profile, 'p')} {_from(condition)}{clause} ORDER BY p.id LIMIT :most"
        ).columns(**_TYPES),
        {**condition.parameters, "most": limit} | ({} if after is None else {"after": after}),
    )
    return [batch.build(Profile, row) for row in result.mappings()]


async def stream(
    connection: AsyncConnection, condition: Condition, size: int
) -> AsyncIterator[list[Profile]]:
    """All of them by id, so many at a time, as of one moment: by a cursor, in constant memory."""
    statement = sa.text(f"SELECT {batch.columns(Profile, 'p')} {_from(condition)} ORDER BY p.id")
    result = await connection.stream(statement.columns(**_TYPES), condition.parameters)
    async for part in result.mappings().partitions(size):
        yield [batch.build(Profile, row) for row in part]


async def parts(
    connection: AsyncConnection, condition: Condition, joined_by: str
) -> tuple[int, list[tuple[int, int]]]:
    """How many customers there are; and of each condition how many it keeps alone, and with all before it."""
    counted = []
    for place, where in enumerate(condition.wheres, 1):
        together = f" {joined_by} ".join(f"({each})" for each in condition.wheres[:place])
        counted.append(f"count(*) FILTER (WHERE {where}), count(*) FILTER (WHERE {together})")
    result = await connection.execute(
        sa.text(
            f"SELECT count(*), {', '.join(counted)} FROM profiles p {condition.joins} "
            "WHERE p.merged_into IS NULL"
        ),
        condition.parameters,
    )
    everybody, *numbers = result.one()
    return everybody, list(zip(numbers[::2], numbers[1::2], strict=True))


async def best_way(connection: AsyncConnection, alone: Condition) -> Way:
    """How to find facts beside the profile, where the conditions that need none leave so many."""
    if alone.where == "(true)":
        return "all"
    known = await connection.execute(
        sa.text("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = CAST('profiles' AS regclass)")
    )
    people = float(known.scalar_one())
    if people < SMALL:
        return "all"
    result = await connection.execute(
        sa.text(
            f"SELECT count(*) AS seen, count(*) FILTER (WHERE {alone.where}) AS left FROM "
            "(SELECT * FROM profiles TABLESAMPLE SYSTEM (CAST(:share AS real)) "
            "WHERE merged_into IS NULL LIMIT :most) p"
        ),
        {**alone.parameters, "share": min(100.0, 200.0 * SAMPLE / people), "most": SAMPLE},
    )
    row = result.one()
    return "each" if row.seen and row.left / row.seen < FEW else "all"


async def kinds_among(connection: AsyncConnection, names: Iterable[str]) -> frozenset[str]:
    """Those of the names that are kinds of identity in this database."""
    result = await connection.execute(
        sa.text(
            "SELECT n FROM unnest(CAST(:names AS text[])) n "
            "WHERE EXISTS (SELECT 1 FROM identities WHERE kind = n)"
        ),
        {"names": sorted(set(names))},
    )
    return frozenset(row.n for row in result)


def _from(condition: Condition) -> str:
    return f"FROM profiles p {condition.joins} WHERE p.merged_into IS NULL AND {condition.where}"
