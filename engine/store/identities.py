"""Identities: identifiers that lead to a profile. An identity leads to one profile at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

Identity = tuple[str, str]
"""Kind and value, for example `("external_id", "c-17")`."""

_FIND = sa.text(f"""
    SELECT i.kind, i.value, i.profile_id
    FROM {batch.records(kind="text", value="text")}
    JOIN identities i ON i.kind = r.kind AND i.value = r.value
""")

_ATTACH = sa.text(f"""
    INSERT INTO identities (kind, value, profile_id)
    SELECT kind, value, profile_id FROM {batch.records(kind="text", value="text", profile_id="uuid")}
    ORDER BY kind, value
    ON CONFLICT (kind, value) DO NOTHING
    RETURNING kind, value
""")


async def find_batch(connection: AsyncConnection, wanted: Iterable[Identity]) -> dict[Identity, str]:
    """The profile behind each identity; unknown ones are left out."""
    values = [{"kind": kind, "value": value} for kind, value in set(wanted)]
    if not values:
        return {}
    result = await connection.execute(_FIND, batch.rows(values))
    return {(row.kind, row.value): str(row.profile_id) for row in result}


async def attach_batch(
    connection: AsyncConnection, new: Sequence[tuple[Identity, str]]
) -> dict[Identity, str]:
    """Attaches identities to profiles, and returns the profile each one leads to now.

    An identity that already leads somewhere stays there, also if another transaction is just attaching it.
    """
    if not new:
        return {}
    wanted = dict(reversed(new))  # the first mention of an identity counts
    values = [{"kind": kind, "value": value, "profile_id": p} for (kind, value), p in wanted.items()]
    result = await connection.execute(_ATTACH, batch.rows(values))
    attached = {(row.kind, row.value): wanted[(row.kind, row.value)] for row in result}
    return attached | await find_batch(connection, [i for i in wanted if i not in attached])


async def of_profiles(connection: AsyncConnection, profile_ids: Iterable[str]) -> dict[str, list[Identity]]:
    """All identities of each profile, in order of kind and value."""
    result = await connection.execute(
        sa.text(
            "SELECT profile_id, kind, value FROM identities "
            "WHERE profile_id = ANY(CAST(:ids AS uuid[])) ORDER BY kind, value"
        ),
        {"ids": sorted(set(profile_ids))},
    )
    found: dict[str, list[Identity]] = {}
    for row in result:
        found.setdefault(str(row.profile_id), []).append((row.kind, row.value))
    return found
