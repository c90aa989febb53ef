"""What counts for caps: the messages of a customer that went out, and those that wait for a place.

A delivery is its own reservation. Whoever judges holds the customer's row (`hold`) until the transaction ends
that marks the delivery `sending`, so of two journeys at the same moment one sees what the other has taken. A
message that is refused, or given back, is no longer in a state that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.limits import ANY, Use

LONGEST: Final = timedelta(days=45)
"""How much later than its step's instant a message goes out at most, as far as caps are concerned."""

_ID = sa.Uuid(as_uuid=False)
_HOLD = sa.text("""
    SELECT id FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) AND merged_into IS NULL
    ORDER BY id FOR NO KEY UPDATE
""").columns(id=_ID)

# The condition on `at` is for the index on (profile_id, at).
_USES = sa.text("""
    SELECT d.profile_id, d.category, d.journey, d.key, d.state = 'deferred' AS waits,
        coalesce(d.channel, '') AS channel,
        CASE WHEN d.state = 'deferred' THEN d.due_at ELSE d.handed_at END AS at
    FROM deliveries d
    WHERE d.profile_id = ANY(CAST(:ids AS uuid[])) AND d.at > :from AND (
        (d.handed_at > :since AND (
            d.state IN ('sending', 'accepted', 'delivered', 'bounced', 'complained', 'unknown')
            OR (d.state = 'claimed' AND d.reason LIKE 'unknown%')))
        OR (d.state = 'deferred' AND d.reason = 'capped' AND EXISTS (
            SELECT 1 FROM enrolments e WHERE e.id = d.enrolment_id AND e.status = 'live')))
    ORDER BY d.profile_id, 7, d.key
""").columns(profile_id=_ID)


_QUOTAS = sa.text("""
    SELECT d.profile_id, d.quota, d.key, d.handed_at AS at FROM deliveries d
    WHERE d.profile_id = ANY(CAST(:ids AS uuid[])) AND d.quota = ANY(CAST(:quotas AS text[]))
        AND d.handed_at IS NOT NULL AND (
            d.state IN ('sending', 'accepted', 'delivered', 'bounced', 'complained', 'unknown')
            OR (d.state = 'claimed' AND d.reason LIKE 'unknown%'))
    ORDER BY d.profile_id, d.handed_at
""").columns(profile_id=_ID)


async def of_quotas(
    connection: AsyncConnection, profile_ids: Iterable[str], quotas: Iterable[str]
) -> dict[tuple[str, str], list[tuple[datetime, str]]]:
    """By (profile, quota): (when, its delivery's key) of each message that drew on it, ascending."""
    result = await connection.execute(
        _QUOTAS, {"ids": sorted(set(profile_ids)), "quotas": sorted(set(quotas))}
    )
    found: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
    for row in result:
        found.setdefault((row.profile_id, row.quota), []).append((row.at, row.key))
    return found


async def hold(connection: AsyncConnection, profile_ids: Iterable[str]) -> set[str]:
    """Holds these customers' rows until the transaction ends, in an order that all agree on.

    Returns those that are there: one that is missing was merged into another meanwhile, or erased.
    """
    result = await connection.execute(_HOLD, {"ids": sorted(set(profile_ids))})
    return {row.id for row in result}


async def uses(
    connection: AsyncConnection, profile_ids: Iterable[str], since: datetime, ranks: Sequence[str] = ()
) -> dict[str, list[Use]]:
    """What counts for each profile since the logical instant `since`, by instant.

    `ranks`: journeys, the most important first; those that are not listed come after them.
    """
    ids = sorted(set(profile_ids))
    if not ids:
        return {}
    result = await connection.execute(_USES, {"ids": ids, "since": since, "from": since - LONGEST})
    places = {journey: place for place, journey in enumerate(ranks)}
    found: dict[str, list[Use]] = {}
    for row in result:
        waits_as = places.get(row.journey, len(places)) if row.waits else None
        channel = ANY if row.waits else row.channel
        use = Use(row.at, channel, row.category, row.journey, row.key, waits_as)
        found.setdefault(row.profile_id, []).append(use)
    return found
