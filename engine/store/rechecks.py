"""Profiles that changed in another way than by an event: the router looks at them soon.

A row is written in the transaction of the change, so that nothing is lost, and only where something is
followed at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.tables import EVENTS_CHANNEL, SHARDS

MOST: Final = 500
"""Rows that one transaction of the router takes."""
SHARD_OF: Final = f"CAST(get_byte(uuid_send({{0}}), 15) % {SHARDS} AS smallint)"
"""`engine.store.shards.shard_of` in SQL."""


def noting(source: str, profile: str = "id", at: str = "CAST(NULL AS timestamptz)") -> str:
    """Common table expression that notes the profiles of another one."""
    return (
        "noted AS (INSERT INTO rechecks (shard, profile_id, at, quiet) "
        f"SELECT {SHARD_OF.format(profile)}, {profile}, {at}, false FROM {source} "
        "WHERE EXISTS (SELECT 1 FROM followed) RETURNING 1)"
    )


TELL: Final = f"SELECT pg_notify('{EVENTS_CHANNEL}', '') FROM noted LIMIT 1"
"""Wakes routers that listen, if anything was noted."""

_ADD = sa.text(f"""
    WITH noted AS (
        INSERT INTO rechecks (shard, profile_id, at, quiet)
        SELECT {SHARD_OF.format("id")}, id, CAST(:at AS timestamptz), :quiet
        FROM unnest(CAST(:ids AS uuid[])) AS id WHERE EXISTS (SELECT 1 FROM followed) RETURNING 1)
    {TELL}
""")
_TAKE = sa.text("""
    DELETE FROM rechecks WHERE id IN (
        SELECT id FROM rechecks WHERE shard = ANY(CAST(:shards AS smallint[])) ORDER BY id LIMIT :most)
    RETURNING profile_id, at, quiet
""").columns(profile_id=sa.Uuid(as_uuid=False))


@dataclass(frozen=True, slots=True)
class Recheck:
    """A profile that changed at the logical instant `at`; None for now. `quiet`: what follows is noted
    without events."""

    profile_id: str
    at: datetime | None
    quiet: bool


async def add(
    connection: AsyncConnection,
    profile_ids: Iterable[str],
    at: datetime | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Has these profiles looked at soon."""
    if ids := sorted(set(profile_ids)):
        await connection.execute(_ADD, {"ids": ids, "at": at, "quiet": quiet})


_PUT_OFF = sa.text(f"""
    INSERT INTO rechecks (shard, profile_id, at, quiet) SELECT {SHARD_OF.format("id")}, id, at, false
    FROM unnest(CAST(:ids AS uuid[]), CAST(:at AS timestamptz[])) AS r(id, at)
""")


async def put_off(connection: AsyncConnection, looks: Mapping[str, datetime]) -> None:
    """Has these profiles looked at later, each for what happened at its instant."""
    if looks:
        await connection.execute(_PUT_OFF, {"ids": list(looks), "at": list(looks.values())})


async def take(connection: AsyncConnection, shards: Sequence[int]) -> list[Recheck]:
    """The next of these shards, which the caller has locked; they are gone with its transaction."""
    result = await connection.execute(_TAKE, {"shards": list(shards), "most": MOST})
    return [Recheck(row.profile_id, row.at, row.quiet) for row in result]


async def shards(connection: AsyncConnection) -> list[int]:
    """Shards that have profiles to look at."""
    result = await connection.execute(
        sa.text(
            f"SELECT s FROM generate_series(0, {SHARDS - 1}) s "
            "WHERE EXISTS (SELECT 1 FROM rechecks WHERE shard = s)"
        )
    )
    return [int(row.s) for row in result]


async def clear(connection: AsyncConnection) -> None:
    """Forgets them all: for when nothing is followed any more."""
    await connection.execute(sa.text("DELETE FROM rechecks"))
