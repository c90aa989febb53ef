"""Addresses that providers call dead, as deliveries remember them.

The word stands in the delivery's `raw` under `dead_addresses`: pairs of channel and a digest of the address;
a new address of the same customer starts afresh.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

_DEAD = sa.text("""
    SELECT DISTINCT profile_id, dead->>0 AS channel, dead->>1 AS digest
    FROM deliveries, jsonb_array_elements(raw->'dead_addresses') AS dead
    WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND raw ? 'dead_addresses'
""").columns(profile_id=sa.Uuid(as_uuid=False))


async def dead_addresses(
    connection: AsyncConnection, profile_ids: Iterable[str]
) -> dict[str, set[tuple[str, str]]]:
    """By profile: (channel, digest of the address) of every address that is known to be dead."""
    result = await connection.execute(_DEAD, {"ids": sorted(set(profile_ids))})
    found: dict[str, set[tuple[str, str]]] = {}
    for row in result:
        found.setdefault(row.profile_id, set()).add((row.channel, row.digest))
    return found
