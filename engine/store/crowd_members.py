"""Who is in a crowd that is given as a list: identifiers to profiles, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import jsonb
from engine.store.identities import Identity

SLICE: Final = 10_000
"""Identifiers that one statement looks up."""


@dataclass(frozen=True, slots=True)
class Named:
    """One customer as somebody wrote it.

    `anyhow`: the text as an identifier of any kind. `kind` and `value`: of one kind. `profile_id`: itself.
    Whichever is set is looked for, in the spellings that `engine.customers.lookup.sought` knows.
    """

    anyhow: str | None = None
    kind: str | None = None
    value: str | None = None
    profile_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sought:
    """One customer to look for: whoever has one of the identities, or this profile."""

    identities: Sequence[Identity]
    profile_id: str | None = None


# Of somebody who was merged, the profile that lives on.
FOUND: Final = """
    found AS MATERIALIZED (
        SELECT r.place, coalesce(
            array_agg(DISTINCT coalesce(p.merged_into, p.id)) FILTER (WHERE p.id IS NOT NULL), '{}') AS ids
        FROM unnest(CAST(:place AS integer[]), CAST(:kind AS text[]), CAST(:value AS text[]),
                    CAST(:profile_id AS uuid[])) AS r(place, kind, value, profile_id)
        LEFT JOIN identities i ON i.kind = r.kind AND i.value = r.value
        LEFT JOIN profiles p ON p.id = coalesce(r.profile_id, i.profile_id)
        GROUP BY r.place)"""
"""Customers as they are sought (`wanted`), each with the profiles that it leads to."""
NOT_ONE: Final = """
    SELECT place, cardinality(ids) AS profiles, (SELECT count(*) FROM added) AS added FROM found
    WHERE cardinality(ids) <> 1
    UNION ALL SELECT 0, 0, (SELECT count(*) FROM added)"""

_ADD = sa.text(f"""
    WITH {FOUND},
    added AS (
        INSERT INTO crowd_members (crowd_id, profile_id)
        SELECT DISTINCT CAST(:crowd AS uuid), ids[1] FROM found WHERE cardinality(ids) = 1
        ON CONFLICT DO NOTHING RETURNING 1)
    {NOT_ONE}
""")


@dataclass(frozen=True, slots=True)
class Added:
    """`added` are new in the crowd. `not_one`: places (from 0) that lead to no customer, or to several."""

    added: int
    not_one: dict[int, int]


async def add_batch(connection: AsyncConnection, crowd_id: str, sought: Sequence[Sought]) -> Added:
    """Puts customers on the list of a crowd, each once."""
    return added(await connection.execute(_ADD, {"crowd": crowd_id, **wanted(sought)}))


def wanted(sought: Sequence[Sought]) -> dict[str, Any]:
    """The parameters of `FOUND`: a row for each way to find each of them, places from 1."""
    rows: list[tuple[int, str | None, str | None, str | None]] = []
    for place, one in enumerate(sought, start=1):
        rows += [(place, jsonb.clean_text(k), jsonb.clean_text(v), None) for k, v in one.identities]
        if one.profile_id is not None or not one.identities:
            rows.append((place, None, None, one.profile_id))
    names = ("place", "kind", "value", "profile_id")
    return {name: [row[column] for row in rows] for column, name in enumerate(names)}


def added(rows: Iterable[Any]) -> Added:
    """What `NOT_ONE` says."""
    count, not_one = 0, {}
    for row in rows:
        count = row.added
        if row.place:
            not_one[row.place - 1] = row.profiles
    return Added(count, not_one)
