"""Access tokens of providers, one row a name, changed only by compare-and-swap on `version`.

The values are secrets: they are in no log, and in no answer of the API or a command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Times are of the wall."""

    version: int
    value: str | None = field(default=None, repr=False)
    ends_at: datetime | None = None
    fetching_until: datetime | None = None


async def get(connection: AsyncConnection, name: str) -> StoredToken | None:
    result = await connection.execute(
        sa.text(f"SELECT {batch.columns(StoredToken)} FROM access_tokens WHERE name = :name"), {"name": name}
    )
    row = result.mappings().one_or_none()
    return None if row is None else batch.build(StoredToken, row)


async def put(connection: AsyncConnection, name: str, token: StoredToken) -> bool:
    """Keeps it if its version follows on what is there, 1 on nothing; whether it was kept."""
    values = {
        "name": name,
        "version": token.version,
        "value": token.value,
        "ends_at": token.ends_at,
        "fetching_until": token.fetching_until,
    }
    if token.version == 1:
        statement = """INSERT INTO access_tokens (name, version, value, ends_at, fetching_until)
                       VALUES (:name, :version, :value, :ends_at, :fetching_until) ON CONFLICT DO NOTHING"""
    else:
        statement = """UPDATE access_tokens SET version = :version, value = :value, ends_at = :ends_at,
                           fetching_until = :fetching_until
                       WHERE name = :name AND version = :version - 1"""
    return (await connection.execute(sa.text(statement), values)).rowcount == 1
