"""Identities: identifiers that lead to a profile. An identity leads to one profile at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, jsonb

Identity = tuple[str, str]
"""Kind and value, for example `("external_id", "c-17")`."""


class Owner(NamedTuple):
    """The profile behind an identity, as much of it as linking needs."""

    profile_id: str
    key: str
    external_id: str | None
    created_at: datetime


# Arrays, not JSON records: the intake asks this for every event.
_WANTED = "unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) AS r(kind, value)"
_FIND = sa.text(f"""
    SELECT i.kind, i.value, i.profile_id
    FROM {_WANTED} JOIN identities i ON i.kind = r.kind AND i.value = r.value
""")
_OWNERS = sa.text(f"""
    SELECT i.kind, i.value, p.id, p.key, p.external_id, p.created_at
    FROM {_WANTED} JOIN identities i ON i.kind = r.kind AND i.value = r.value
    JOIN profiles p ON p.id = i.profile_id
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
    listed = [(jsonb.clean_text(kind), jsonb.clean_text(value)) for kind, value in set(wanted)]
    if not listed:
        return {}
    result = await connection.execute(_FIND, _arrays(listed))
    return {(row[0], row[1]): str(row[2]) for row in result}


async def owners(connection: AsyncConnection, wanted: Iterable[Identity]) -> dict[Identity, Owner]:
    """Like `find_batch`, with what linking needs to know of each profile."""
    listed = [(jsonb.clean_text(kind), jsonb.clean_text(value)) for kind, value in set(wanted)]
    if not listed:
        return {}
    result = await connection.execute(_OWNERS, _arrays(listed))
    return {(row[0], row[1]): Owner(str(row[2]), row[3], row[4], row[5]) for row in result}


def _arrays(listed: Sequence[Identity]) -> dict[str, list[str]]:
    return {"kinds": [kind for kind, _ in listed], "values": [value for _, value in listed]}


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


async def move_batch(connection: AsyncConnection, moves: Iterable[tuple[Identity, str]]) -> None:
    """Lets identities lead to other profiles than before."""
    values = [{"kind": i[0], "value": i[1], "profile_id": p} for i, p in sorted(moves)]
    if values:
        await connection.execute(
            sa.text(f"""
                UPDATE identities i SET profile_id = r.profile_id
                FROM {batch.records(kind="text", value="text", profile_id="uuid")}
                WHERE i.kind = r.kind AND i.value = r.value
            """),
            batch.rows(values),
        )


async def delete_batch(connection: AsyncConnection, gone: Iterable[Identity]) -> None:
    """Lets these identities lead to nobody."""
    listed = sorted(set(gone))
    if listed:
        await connection.execute(
            sa.text(f"DELETE FROM identities i USING {_WANTED} WHERE i.kind = r.kind AND i.value = r.value"),
            _arrays(listed),
        )


async def count_problems(
    connection: AsyncConnection, seen: Mapping[tuple[str, str, str], int], at: datetime
) -> None:
    """Counts identifiers that identify nobody: (kind, source, reason) to how often."""
    values = [{"kind": k, "source": s, "reason": r, "seen": n} for (k, s, r), n in sorted(seen.items())]
    await connection.execute(
        sa.text(f"""
            INSERT INTO identity_problems (kind, source, reason, seen, first_seen_at, last_seen_at)
            SELECT kind, source, reason, seen, CAST(:at AS timestamptz), CAST(:at AS timestamptz)
            FROM {batch.records(kind="text", source="text", reason="text", seen="bigint")}
            ON CONFLICT (kind, source, reason) DO UPDATE
            SET seen = identity_problems.seen + excluded.seen, last_seen_at = excluded.last_seen_at
        """),
        batch.rows(values) | {"at": at},
    )


class SeenProblem(NamedTuple):
    """How often a source sent an identifier that identifies nobody. Reasons hold no values."""

    kind: str
    source: str
    reason: str
    seen: int
    last_seen_at: datetime


async def problems(connection: AsyncConnection, limit: int = 100) -> list[SeenProblem]:
    """Identifiers that identify nobody, those seen last first."""
    result = await connection.execute(
        sa.text("""
            SELECT kind, source, reason, seen, last_seen_at FROM identity_problems
            ORDER BY last_seen_at DESC, kind, source, reason LIMIT :limit
        """),
        {"limit": limit},
    )
    return [SeenProblem(*row) for row in result]
