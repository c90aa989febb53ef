"""Events: what happened, in the order in which the router takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect

from engine.store import batch, jsonb
from engine.store.shards import shard_of
from engine.store.tables import EVENTS_CHANNEL, SHARDS


@dataclass(slots=True)
class NewEvent:
    """An event to be kept. `event_id` is `engine.core.identity.event_id(source, message_id)`."""

    event_id: str
    profile_id: str
    name: str
    occurred_at: datetime
    received_at: datetime
    source: str
    message_id: str
    properties: dict[str, Any] = field(default_factory=dict, repr=False)
    type: str = "track"
    heeded: bool = True
    """False: no journey looks at it, so that it need not be routed."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as stored. `sequence` is its order of arrival among all events."""

    event_id: str
    sequence: int
    profile_id: str
    shard: int
    name: str
    type: str
    properties: dict[str, Any] = field(repr=False)
    occurred_at: datetime
    received_at: datetime
    source: str
    message_id: str
    routed_at: datetime | None


_TYPES: dict[str, Any] = {
    "event_id": sa.Uuid(as_uuid=False),
    "profile_id": sa.Uuid(as_uuid=False),
    "properties": JSONB,
}
_COLUMNS = batch.columns(Event)

# Arrays, not JSON records: this is the hottest statement of the intake.
_INSERT = sa.text("""
    WITH n AS (
        INSERT INTO events (event_id, profile_id, shard, name, type, properties, occurred_at, received_at,
                            source, message_id, routed_at)
        SELECT event_id, profile_id, shard, name, type, properties::jsonb, occurred_at, received_at,
               source, message_id, CASE WHEN NOT heeded THEN now() END
        FROM unnest(CAST(:event_id AS uuid[]), CAST(:profile_id AS uuid[]), CAST(:shard AS smallint[]),
                    CAST(:name AS text[]), CAST(:type AS text[]), CAST(:properties AS text[]),
                    CAST(:occurred_at AS timestamptz[]), CAST(:received_at AS timestamptz[]),
                    CAST(:source AS text[]), CAST(:message_id AS text[]), CAST(:heeded AS boolean[]))
            AS n(event_id, profile_id, shard, name, type, properties, occurred_at, received_at,
                 source, message_id, heeded)
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id, routed_at
    )
    SELECT event_id, CASE WHEN routed_at IS NULL THEN pg_notify(:channel, '') END FROM n
""")


async def insert_batch(connection: AsyncConnection, new: Sequence[NewEvent]) -> set[str]:
    """Keeps the events, and returns the ids of those that were new.

    An event that is there already, or twice in the batch, is kept once. `sequence` follows the batch.
    Routers that listen are woken when the transaction commits.
    """
    if not new:
        return set()
    first: dict[str, NewEvent] = {}
    for event in new:
        first.setdefault(event.event_id, event)
    kept = list(first.values())
    result = await connection.execute(
        _INSERT,
        {
            "event_id": [event.event_id for event in kept],
            "profile_id": [event.profile_id for event in kept],
            "shard": [shard_of(event.profile_id) for event in kept],
            "name": [jsonb.clean_text(event.name) for event in kept],
            "type": [event.type for event in kept],
            "properties": [jsonb.dumps(event.properties) for event in kept],
            "occurred_at": [event.occurred_at for event in kept],
            "received_at": [event.received_at for event in kept],
            "source": [jsonb.clean_text(event.source) for event in kept],
            "message_id": [jsonb.clean_text(event.message_id) for event in kept],
            "heeded": [event.heeded for event in kept],
            "channel": EVENTS_CHANNEL,
        },
    )
    return {str(row.event_id) for row in result}  # of equal notifications PostgreSQL keeps one


async def bring_home(connection: AsyncConnection, homes: Mapping[str, str]) -> None:
    """Events of profiles that were merged (to the profile they were merged into) become that one's.

    Those that are still to be routed are then in its shard, whose router is woken.
    """
    values = [{"id": i, "home": home, "shard": shard_of(home)} for i, home in sorted(homes.items())]
    if not values:
        return
    await connection.execute(
        sa.text(f"""
            WITH n AS (
                UPDATE events e SET profile_id = r.home, shard = r.shard
                FROM {batch.records(id="uuid", home="uuid", shard="smallint")} WHERE e.profile_id = r.id
                RETURNING 1)
            SELECT pg_notify(:channel, '') FROM n LIMIT 1
        """),
        batch.rows(values) | {"channel": EVENTS_CHANNEL},
    )


async def unrouted_shards(connection: AsyncConnection) -> list[int]:
    """Shards that have events to route."""
    # One probe of the partial index a shard: stays quick with a million waiting events.
    result = await connection.execute(
        sa.text(
            f"SELECT s FROM generate_series(0, {SHARDS - 1}) s WHERE EXISTS "
            "(SELECT 1 FROM events WHERE shard = s AND routed_at IS NULL) ORDER BY s"
        )
    )
    return [int(row.s) for row in result]


async def unrouted(
    connection: AsyncConnection, shard: int, limit: int, until: datetime | None = None
) -> list[Event]:
    """The next events of a shard, by (occurred_at, order of arrival); none that occurred after `until`."""
    clause = "" if until is None else "AND occurred_at <= :until"
    return await _select(
        connection,
        f"WHERE shard = :shard AND routed_at IS NULL {clause} ORDER BY occurred_at, sequence LIMIT :limit",
        {"shard": shard, "limit": limit} | ({} if until is None else {"until": until}),
    )


_UNROUTED = sa.text(f"""
    SELECT {batch.columns(Event, "e")} FROM unnest(CAST(:shards AS smallint[])) AS s CROSS JOIN LATERAL (
        SELECT * FROM events WHERE shard = s AND routed_at IS NULL
        ORDER BY occurred_at, sequence LIMIT :limit
    ) AS e ORDER BY e.occurred_at, e.sequence
""").columns(**_TYPES)


async def unrouted_in(connection: AsyncConnection, shards: Sequence[int], limit: int) -> list[Event]:
    """The next events of each of these shards, up to `limit` of each, by (occurred_at, order of arrival)."""
    result = await connection.execute(_UNROUTED, {"shards": list(shards), "limit": limit})
    return [batch.build(Event, row) for row in result.mappings()]


async def unrouted_of(connection: AsyncConnection, profile_ids: Iterable[str]) -> list[Event]:
    """Events of these profiles that are stored but not routed yet, in the router's order."""
    return await _select(
        connection,
        "WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND shard = ANY(CAST(:shards AS smallint[])) "
        "AND routed_at IS NULL ORDER BY occurred_at, sequence",
        {"ids": sorted(ids := set(profile_ids)), "shards": sorted({shard_of(i) for i in ids})},
    )


async def mark_routed(connection: AsyncConnection, event_ids: Iterable[str], at: datetime) -> None:
    """Marks events as routed at the wall instant `at`."""
    await connection.execute(
        sa.text("UPDATE events SET routed_at = :at WHERE event_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(event_ids), "at": at},
    )


async def mark_broken(connection: AsyncConnection, event_id: str, at: datetime, error: str) -> None:
    """Passes over an event that cannot be routed, and keeps why."""
    await connection.execute(
        sa.text("UPDATE events SET routed_at = :at, error = :error WHERE event_id = :id"),
        {"id": event_id, "at": at, "error": error},
    )


async def broken(connection: AsyncConnection, limit: int = 100) -> list[tuple[str, str, str]]:
    """Events that could not be routed (id, name, error), the last first."""
    result = await connection.execute(
        sa.text(
            "SELECT event_id, name, error FROM events WHERE error IS NOT NULL "
            "ORDER BY sequence DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [(str(row.event_id), row.name, row.error) for row in result]


async def unrouted_by_id(connection: AsyncConnection, event_id: str) -> list[Event]:
    """The event, if it is still to be routed."""
    return await _select(connection, "WHERE event_id = :id AND routed_at IS NULL", {"id": event_id})


async def get_batch(connection: AsyncConnection, event_ids: Iterable[str]) -> dict[str, Event]:
    """Events by id; unknown ids are left out."""
    found = await _select(
        connection, "WHERE event_id = ANY(CAST(:ids AS uuid[]))", {"ids": list(set(event_ids))}
    )
    return {event.event_id: event for event in found}


async def for_profiles(
    connection: AsyncConnection,
    profile_ids: Iterable[str],
    names: Iterable[str],
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, list[Event]]:
    """Events of these names by profile, oldest first, with `since <= occurred_at <= until`."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    clauses = ["profile_id = ANY(CAST(:ids AS uuid[]))", "name = ANY(CAST(:names AS text[]))"]
    values: dict[str, Any] = {"ids": sorted(set(profile_ids)), "names": wanted}
    if since is not None:
        clauses.append("occurred_at >= :since")
        values["since"] = since
    if until is not None:
        clauses.append("occurred_at <= :until")
        values["until"] = until
    found: dict[str, list[Event]] = {}
    for event in await _select(
        connection, f"WHERE {' AND '.join(clauses)} ORDER BY occurred_at, sequence", values
    ):
        found.setdefault(event.profile_id, []).append(event)
    return found


async def last_routed(
    connection: AsyncConnection, profile_ids: Iterable[str], names: Iterable[str]
) -> dict[str, datetime]:
    """When the last event of these names occurred that was routed, by profile."""
    result = await connection.execute(
        sa.text(
            "SELECT profile_id, max(occurred_at) AS at FROM events "
            "WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND name = ANY(CAST(:names AS text[])) "
            "AND routed_at IS NOT NULL GROUP BY profile_id"
        ),
        {"ids": sorted(set(profile_ids)), "names": sorted(set(names))},
    )
    return {str(row.profile_id): row.at for row in result}


async def later_than(
    connection: AsyncConnection, profile_id: str, instant: datetime, names: Iterable[str]
) -> list[Event]:
    """Events of one profile that occurred after `instant`, routed or not, oldest first."""
    return await _select(
        connection,
        "WHERE profile_id = :id AND name = ANY(CAST(:names AS text[])) AND occurred_at > :instant "
        "ORDER BY occurred_at, sequence",
        {"id": profile_id, "names": sorted(set(names)), "instant": instant},
    )


async def of_profile(
    connection: AsyncConnection,
    profile_id: str,
    limit: int = 100,
    *,
    name: str | None = None,
    after: tuple[datetime, int] | None = None,
) -> list[Event]:
    """The last events of one profile, newest first. `after` is (occurred_at, sequence) of the last seen."""
    clauses, values = ["profile_id = :id"], dict[str, Any](id=profile_id, limit=limit)
    if name is not None:
        clauses.append("name = :name")
        values["name"] = name
    if after is not None:
        clauses.append("(occurred_at, sequence) < (:after_at, :after_sequence)")
        values |= {"after_at": after[0], "after_sequence": after[1]}
    return await _select(
        connection,
        f"WHERE {' AND '.join(clauses)} ORDER BY occurred_at DESC, sequence DESC LIMIT :limit",
        values,
    )


async def _select(connection: AsyncConnection, rest: str, values: dict[str, Any]) -> list[Event]:
    result = await connection.execute(_selecting(rest), values)
    return [batch.build(Event, row) for row in result.mappings()]


@lru_cache(maxsize=64)  # taking a text apart costs as much as running it
def _selecting(rest: str) -> TextualSelect:
    return sa.text(f"SELECT {_COLUMNS} FROM events {rest}").columns(**_TYPES)


async def count_undeclared(
    connection: AsyncConnection, seen: dict[tuple[str, str], int], at: datetime
) -> None:
    """Counts names that the catalogue lacks: (event, property) to how often; property '' is the event."""
    if not seen:
        return
    values = [{"event": e, "property": p, "seen": n} for (e, p), n in sorted(seen.items())]
    await connection.execute(
        sa.text(f"""
            INSERT INTO undeclared (event, property, seen, first_seen_at, last_seen_at)
            SELECT event, property, seen, CAST(:at AS timestamptz), CAST(:at AS timestamptz)
            FROM {batch.records(event="text", property="text", seen="bigint")}
            ON CONFLICT (event, property) DO UPDATE
            SET seen = undeclared.seen + excluded.seen, last_seen_at = excluded.last_seen_at
        """),
        batch.rows(values) | {"at": at},
    )
