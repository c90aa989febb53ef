"""When messages are opened and clicked: by one customer, and by those who got a journey's last messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

_ID = sa.Uuid(as_uuid=False)
_NAMES = "('message.opened', 'message.clicked')"
# A mail service that fetches pictures for somebody says nothing of when they look.
_BY_PEOPLE = "AND properties ->> 'proxy' IS DISTINCT FROM 'true'"
_OWN = sa.text(f"""
    SELECT profile_id, occurred_at FROM events
    WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND name IN {_NAMES} AND occurred_at > :since {_BY_PEOPLE}
""").columns(profile_id=_ID)
_BASE = sa.text(f"""
    WITH r AS (
        SELECT DISTINCT profile_id FROM (
            SELECT profile_id FROM deliveries WHERE journey = :journey ORDER BY at DESC LIMIT :people) AS d
    )
    SELECT p.time_zone, e.occurred_at FROM r JOIN profiles p ON p.id = r.profile_id
    JOIN events e ON e.profile_id = r.profile_id AND e.name IN {_NAMES} AND e.occurred_at > :since
        {_BY_PEOPLE}
    LIMIT 20000
""")


async def of_profiles(
    connection: AsyncConnection, profile_ids: Iterable[str], since: datetime
) -> dict[str, list[datetime]]:
    """When each of these customers opened or clicked a message, since the logical instant `since`."""
    found: dict[str, list[datetime]] = {}
    for row in await connection.execute(_OWN, {"ids": sorted(set(profile_ids)), "since": since}):
        found.setdefault(row.profile_id, []).append(row.occurred_at)
    return found


async def of_audience(
    connection: AsyncConnection, journey: str, since: datetime, people: int = 500
) -> list[tuple[str | None, datetime]]:
    """(time zone, instant) of each open and click of those to whom the journey wrote last."""
    result = await connection.execute(_BASE, {"journey": journey, "since": since, "people": people})
    return [(row.time_zone, row.occurred_at) for row in result]
