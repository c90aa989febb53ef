"""API keys. Only a hash is kept: a key is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, tables

Scope = Literal["ingest", "read", "manage"]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `prefix` is its beginning, enough to recognise it in a list."""

    id: str
    name: str
    scope: Scope
    source: str | None
    """The `source` of events that come in with it."""
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `token` is shown now or never."""

    key: ApiKey
    token: str = field(repr=False)


def hash_of(token: str) -> str:
    """SHA-256 of a token. No salt and no slow hash: tokens are 256 random bits, not passwords."""
    return hashlib.sha256(token.encode()).hexdigest()


async def create(
    connection: AsyncConnection,
    name: str,
    scope: Scope,
    source: str | None = None,
    *,
    token: str | None = None,
) -> NewKey:
    """Makes a key `kairos_<scope>_<random>`; `source` defaults to the name for an `ingest` key.

    `token` sets the secret instead, for demos and tests: making it twice gives the same key.
    """
    secret = token or f"kairos_{scope}_{secrets.token_urlsafe(32)}"
    values = {
        "id": str(uuid.uuid4()),
        "name": name,
        "scope": scope,
        "source": source or (name if scope == "ingest" else None),
        "hash": hash_of(secret),
        "prefix": secret[: len(f"kairos_{scope}_") + 4],
    }
    names = ", ".join(values)
    result = await connection.execute(
        sa.text(f"""
            INSERT INTO api_keys ({names}) VALUES ({", ".join(f":{n}" for n in values)})
            ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL RETURNING {batch.columns(ApiKey)}
        """).columns(id=sa.Uuid(as_uuid=False)),
        values,
    )
    return NewKey(batch.build(ApiKey, result.mappings().one()), secret)


async def verify(connection: AsyncConnection, token: str) -> ApiKey | None:
    """The key behind a token; None if it is unknown or revoked."""
    result = await connection.execute(
        sa.text(
            f"SELECT {batch.columns(ApiKey)} FROM api_keys WHERE hash = :hash AND revoked_at IS NULL"
        ).columns(id=sa.Uuid(as_uuid=False)),
        {"hash": hash_of(token)},
    )
    row = result.mappings().one_or_none()
    return None if row is None else batch.build(ApiKey, row)


async def all_keys(connection: AsyncConnection) -> list[ApiKey]:
    """Every key, revoked ones too, oldest first."""
    result = await connection.execute(
        sa.text(f"SELECT {batch.columns(ApiKey)} FROM api_keys ORDER BY created_at, name").columns(
            id=sa.Uuid(as_uuid=False)
        )
    )
    return [batch.build(ApiKey, row) for row in result.mappings()]


async def revoke(connection: AsyncConnection, key_id: str) -> bool:
    """Revokes a key at once; false if it is unknown or was revoked before."""
    keys = tables.api_keys
    result = await connection.execute(
        keys.update().where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=sa.func.now())
    )
    return result.rowcount > 0
