"""Who is in a crowd that is given as a list: identifiers to profiles, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import jsonb
from engine.store.tables import PROFILE_KINDS

SLICE: Final = 10_000
"""Identifiers that one statement looks up."""


@dataclass(frozen=True, slots=True)
class Named:
    """One customer as somebody wrote it.

    `anyhow`: the text as an identifier of any kind. `kind` and `value`: of one kind. `profile_id`: itself.
    Whichever is set is looked for.
    """

    anyhow: str | None = None
    kind: str | None = None
    value: str | None = None
    profile_id: str | None = None


# Of somebody who was merged, the profile that lives on.
FOUND: Final = """
    found AS MATERIALIZED (
        SELECT r.place, ARRAY(
            SELECT DISTINCT coalesce(p.merged_into, p.id) FROM (
                SELECT i.profile_id FROM identities i
                WHERE i.kind = ANY(CAST(:kinds AS text[])) AND i.value = r.anyhow
                UNION ALL SELECT i.profile_id FROM identities i WHERE i.kind = r.kind AND i.value = r.value
                UNION ALL SELECT r.profile_id WHERE r.profile_id IS NOT NULL) i
            JOIN profiles p ON p.id = i.profile_id) AS ids
        FROM unnest(CAST(:anyhow AS text[]), CAST(:kind AS text[]), CAST(:value AS text[]),
                    CAST(:profile_id AS uuid[]))
            WITH ORDINALITY AS r(anyhow, kind, value, profile_id, place))"""
"""Customers as they were named (`wanted`), each with the profiles that it leads to."""
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


async def add_batch(connection: AsyncConnection, crowd_id: str, named: Sequence[Named]) -> Added:
    """Puts customers on the list of a crowd, each once."""
    return added(await connection.execute(_ADD, {"crowd": crowd_id, **wanted(named)}))


def wanted(named: Sequence[Named]) -> dict[str, Any]:
    """The parameters of `FOUND`."""
    return {
        "kinds": list(PROFILE_KINDS),
        "anyhow": [_clean(one.anyhow) for one in named],
        "kind": [_clean(one.kind) for one in named],
        "value": [_clean(one.value) for one in named],
        "profile_id": [one.profile_id for one in named],
    }


def added(rows: Iterable[Any]) -> Added:
    """What `NOT_ONE` says."""
    count, not_one = 0, {}
    for row in rows:
        count = row.added
        if row.place:
            not_one[row.place - 1] = row.profiles
    return Added(count, not_one)


def _clean(text: str | None) -> str | None:
    return None if text is None else jsonb.clean_text(text)
