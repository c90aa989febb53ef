"""Addresses that nothing is sent to any more: kept as digests when a customer is erased."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.identities import Identity


def digest(kind: str, value: str) -> str:
    """Names an address without telling it: SHA-256, 64 hex digits."""
    return hashlib.sha256(f"suppressed\x00{kind}\x00{value}".encode()).hexdigest()


async def add_batch(connection: AsyncConnection, addresses: Iterable[Identity]) -> int:
    """Suppresses these addresses (kind, value); returns how many."""
    listed = sorted({digest(kind, value) for kind, value in addresses})
    if listed:
        await connection.execute(
            sa.text("INSERT INTO suppressions (digest) SELECT unnest(CAST(:digests AS text[])) "
                    "ON CONFLICT DO NOTHING"),
            {"digests": listed},
        )  # fmt: skip
    return len(listed)


_FIND = sa.text("SELECT digest FROM suppressions WHERE digest = ANY(CAST(:digests AS text[]))")


async def among(connection: AsyncConnection, addresses: Iterable[Identity]) -> set[Identity]:
    """Which of these addresses are suppressed."""
    named = {digest(kind, value): (kind, value) for kind, value in set(addresses)}
    if not named:
        return set()
    result = await connection.execute(_FIND, {"digests": sorted(named)})
    return {named[row.digest] for row in result}


async def lift(connection: AsyncConnection, addresses: Iterable[Identity]) -> int:
    """Lets messages go to these addresses again; returns how many were suppressed."""
    digests = sorted({digest(kind, value) for kind, value in addresses})
    result = await connection.execute(
        sa.text("DELETE FROM suppressions WHERE digest = ANY(CAST(:digests AS text[]))"), {"digests": digests}
    )
    return result.rowcount
