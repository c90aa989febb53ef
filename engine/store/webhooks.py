"""What other systems are told: written with the change itself, gone once it was told.

Rows of one profile are told in their order; the next waits until the one before was told, or given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.installation import Told
from engine.store import batch

FROM_EVENTS: Final = frozenset({"segment.entered", "segment.left", "stage.changed", "consent.changed"})
"""Changes that are events too."""
CHANGED: Final = "profile.changed"
MERGED: Final = "profile.merged"

_VALUES = """CASE WHEN w.include = '{}' THEN '{}'::jsonb ELSE jsonb_build_object('attributes', coalesce(
    (SELECT jsonb_object_agg(k, c.attributes -> k) FROM unnest(w.include) k), '{}'::jsonb)) END"""

OF_CHANGED: Final = f"""
    INSERT INTO webhook_outbox (webhook, event, profile_id, data, at)
    SELECT w.name, '{CHANGED}', c.id,
        jsonb_build_object('external_id', c.external_id, 'changed', to_jsonb(c.changed)) || {_VALUES}, c.at
    FROM changed c JOIN webhooks w ON w.events @> ARRAY['{CHANGED}'] WHERE c.changed <> '{{}}' ORDER BY c.id
"""
"""Ends a statement that has `changed (id, external_id, attributes, changed, at)`."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change at the logical instant `at`; `data` is told as it is."""

    event: str
    profile_id: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing to tell one system. `created_at` is of the wall."""

    id: int
    webhook: str
    event: str
    profile_id: str
    data: dict[str, Any] = field(repr=False)
    at: datetime | None
    created_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a webhook stands. `oldest_at`: since when (wall) the oldest waits. `error`: the last one seen."""

    webhook: str
    declared: bool
    waiting: int
    failed: int
    oldest_at: datetime | None
    error: str | None


async def declare(connection: AsyncConnection, told: Sequence[Told]) -> None:
    """Makes these all webhooks that there are. What waits for another is given up."""
    names = sorted({each.name for each in told})
    await connection.execute(
        sa.text("DELETE FROM webhooks WHERE name <> ALL (CAST(:names AS text[]))"), {"names": names}
    )
    await connection.execute(
        sa.text("""UPDATE webhook_outbox SET state = 'failed', error = 'it is not declared any more'
                   WHERE state = 'waiting' AND webhook <> ALL (CAST(:names AS text[]))"""),
        {"names": names},
    )
    for each in told:
        await connection.execute(
            sa.text("""
                INSERT INTO webhooks (name, events, include)
                VALUES (:name, CAST(:events AS text[]), CAST(:include AS text[]))
                ON CONFLICT (name) DO UPDATE SET events = excluded.events, include = excluded.include
            """),
            {"name": each.name, "events": list(each.events), "include": list(each.include)},
        )


async def wanted(connection: AsyncConnection, event: str) -> bool:
    """Whether any webhook is told of these changes."""
    result = await connection.execute(
        sa.text("SELECT 1 FROM webhooks WHERE events @> ARRAY[CAST(:event AS text)] LIMIT 1"),
        {"event": event},
    )
    return result.first() is not None


_OFFER = sa.text(f"""
    INSERT INTO webhook_outbox (webhook, event, profile_id, data, at)
    SELECT w.name, r.event, r.profile_id, jsonb_build_object('external_id', p.external_id) || r.data, r.at
    FROM {batch.records(place="integer", event="text", profile_id="uuid", data="jsonb", at="timestamptz")}
    JOIN webhooks w ON w.events @> ARRAY[r.event] LEFT JOIN profiles p ON p.id = r.profile_id
    ORDER BY r.place, w.name
""")


async def offer(connection: AsyncConnection, changes: Iterable[Change]) -> None:
    """Has changes told to whoever wants them, if this transaction commits."""
    values = [
        {"place": place, "event": e.event, "profile_id": e.profile_id, "data": e.data, "at": e.at}
        for place, e in enumerate(changes)
    ]
    if values:
        await connection.execute(_OFFER, batch.rows(values))


async def offer_new(
    connection: AsyncConnection, changed: Sequence[tuple[str, Sequence[str], datetime]]
) -> None:
    """`profile.changed` for profiles that were just made: id, names of what is known of them, and when."""
    await connection.execute(
        sa.text(f"""
            WITH changed AS (
                SELECT p.id, p.external_id, p.attributes, r.changed, r.at
                FROM {batch.records(id="uuid", changed="text[]", at="timestamptz")}
                JOIN profiles p ON p.id = r.id)
            {OF_CHANGED}
        """),
        batch.rows([{"id": i, "changed": sorted(names), "at": at} for i, names, at in changed]),
    )


# --- telling --------------------------------------------------------------------------------------------

_CLAIM = sa.text("""
    UPDATE webhook_outbox o SET attempts = o.attempts + 1, due_at = now() + CAST(:lease AS interval)
    FROM (
        SELECT id FROM webhook_outbox c
        WHERE state = 'waiting' AND due_at <= now() AND webhook = ANY(CAST(:names AS text[]))
            AND NOT EXISTS (
                SELECT 1 FROM webhook_outbox b WHERE b.webhook = c.webhook AND b.profile_id = c.profile_id
                AND b.state = 'waiting' AND b.id < c.id)
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED) d
    WHERE o.id = d.id
    RETURNING o.id, o.webhook, o.event, o.profile_id, o.data, o.at, o.created_at, o.attempts
""").columns(profile_id=sa.Uuid(as_uuid=False), data=JSONB)


async def claim(
    connection: AsyncConnection, names: Iterable[str], limit: int, lease: timedelta
) -> list[Telling]:
    """Takes what is due: the first of each profile. Nobody else takes it for as long as the lease."""
    values = {"names": sorted(names), "limit": limit, "lease": lease}
    return [Telling(*row) for row in await connection.execute(_CLAIM, values)]


async def told(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """They were told."""
    if ids:
        await connection.execute(
            sa.text("DELETE FROM webhook_outbox WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": list(ids)}
        )


async def not_told(
    connection: AsyncConnection, failures: Sequence[tuple[int, str, timedelta | None]]
) -> None:
    """They were not told, for these reasons; to be tried again so much later, or given up (None)."""
    values = [
        {"id": i, "error": error, "again": None if again is None else again.total_seconds()}
        for i, error, again in failures
    ]
    if values:
        await connection.execute(
            sa.text(f"""
                UPDATE webhook_outbox o SET error = r.error,
                    state = CASE WHEN r.again IS NULL THEN 'failed' ELSE 'waiting' END,
                    due_at = now() + make_interval(secs => coalesce(r.again, 0))
                FROM {batch.records(id="bigint", error="text", again="double precision")} WHERE o.id = r.id
            """),
            batch.rows(values),
        )


async def standing(connection: AsyncConnection) -> list[Standing]:
    """How each webhook stands, by name; also those that are not declared any more and have something left."""
    result = await connection.execute(
        sa.text("""
            SELECT n.name, EXISTS (SELECT 1 FROM webhooks w WHERE w.name = n.name) AS declared,
                count(o.id) FILTER (WHERE o.state = 'waiting') AS waiting,
                count(o.id) FILTER (WHERE o.state = 'failed') AS failed,
                min(o.created_at) FILTER (WHERE o.state = 'waiting') AS oldest_at,
                (SELECT error FROM webhook_outbox e WHERE e.webhook = n.name AND e.error IS NOT NULL
                    ORDER BY due_at DESC LIMIT 1) AS error
            FROM (SELECT name FROM webhooks UNION SELECT webhook FROM webhook_outbox) n
            LEFT JOIN webhook_outbox o ON o.webhook = n.name
            GROUP BY n.name ORDER BY n.name
        """)
    )
    return [Standing(*row) for row in result]


async def again(connection: AsyncConnection, webhook: str) -> int:
    """Tries at once what was given up or waits after a failure; how many there are."""
    result = await connection.execute(
        sa.text("""UPDATE webhook_outbox
                   SET state = 'waiting', due_at = now(), created_at = now(), attempts = 0
                   WHERE webhook = :name AND (state = 'failed' OR attempts > 0)"""),
        {"name": webhook},
    )
    return result.rowcount


async def forget_failed(connection: AsyncConnection, older: timedelta) -> None:
    """Forgets what was given up so long ago, by the wall."""
    await connection.execute(
        sa.text("""DELETE FROM webhook_outbox
                   WHERE state = 'failed' AND due_at < now() - CAST(:older AS interval)"""),
        {"older": older},
    )
