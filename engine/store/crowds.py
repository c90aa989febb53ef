"""Crowds: jobs that let many customers into a journey at once, and how far each has come.

Whoever works on a crowd holds its row for one slice at a time, so of two that try one waits and goes on
where the other stopped: nobody is looked at twice. While a crowd is entering, events that were routed and may
concern somebody who is not in yet are kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.expressions.sql import Condition
from engine.store import batch, jsonb
from engine.store.tables import POOL_CHANNEL, POOL_SHARDS, STARTS_CHANNEL
from engine.store.tags import TAGGED

What = Literal["all", "tag", "list", "segment"]
Status = Literal["waiting", "entering", "entered", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Crowd:
    """A crowd as stored. `looked` = `entered` + `restarted` + all of `refused`. `entered_at` is logical.

    `restarted` were live and were handed to the router, which ends their enrolment and begins another.
    `unknown` are lines of a list that led to nobody. Of a segment, `condition` is all that was meant when it
    was asked for (`engine.customers.segments.Group.frozen`).
    """

    id: str
    journey: str
    digest: str
    what: What
    tag: str | None
    given: dict[str, Any] = field(repr=False)
    status: Status
    cursor: str | None
    total: int | None
    looked: int
    entered: int
    restarted: int
    refused: dict[str, int]
    unknown: int
    created_at: datetime
    entered_at: datetime | None
    touched_at: datetime
    finished_at: datetime | None
    error: str | None
    segment: str | None = None
    condition: dict[str, Any] | None = field(default=None, repr=False)
    due_at: datetime | None = None
    """When a campaign was to be launched that has a schedule; logical."""

    @property
    def over(self) -> bool:
        return self.status not in ("waiting", "entering")


_TYPES: dict[str, Any] = {
    "id": sa.Uuid(as_uuid=False),
    "cursor": sa.Uuid(as_uuid=False),
    "given": JSONB,
    "refused": JSONB,
    "condition": JSONB,
}
_READ = f"SELECT {batch.columns(Crowd)} FROM crowds"
_RING = sa.text("SELECT pg_notify(:channel, :what)")


async def add(
    connection: AsyncConnection,
    crowd_id: str,
    journey: str,
    digest: str,
    what: What,
    *,
    tag: str | None = None,
    segment: str | None = None,
    condition: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    unknown: int = 0,
    total: int | None = None,
    due_at: datetime | None = None,
) -> None:
    """Asks for a crowd; it is taken up when the transaction commits."""
    values = {
        "id": crowd_id,
        "journey": journey,
        "digest": digest,
        "what": what,
        "tag": tag,
        "segment": segment,
        "condition": None if condition is None else jsonb.dumps(dict(condition)),
        "given": jsonb.dumps(dict(given or {})),
        "unknown": unknown,
        "total": total,
        "due_at": due_at,
    }
    await connection.execute(
        sa.text("""
            INSERT INTO crowds (id, journey, digest, what, tag, segment, condition, given, unknown, total,
                due_at)
            VALUES (:id, :journey, :digest, :what, :tag, :segment, CAST(:condition AS jsonb),
                CAST(:given AS jsonb), :unknown, :total, :due_at)
        """),
        values,
    )
    await connection.execute(_RING, {"channel": POOL_CHANNEL, "what": ""})


async def get(connection: AsyncConnection, crowd_id: str, *, hold: bool = False) -> Crowd | None:
    """A crowd; `hold` keeps others from working on it until the transaction ends."""
    result = await connection.execute(
        sa.text(f"{_READ} WHERE id = :id{' FOR UPDATE' if hold else ''}").columns(**_TYPES), {"id": crowd_id}
    )
    row = result.mappings().one_or_none()
    return None if row is None else batch.build(Crowd, row)


async def find(
    connection: AsyncConnection, *, journey: str | None = None, limit: int = 50, before: str | None = None
) -> list[Crowd]:
    """A page of crowds, the last asked for first; `before` is the id of the last one seen."""
    wanted = {"journey": journey, "before": before}
    values = {name: value for name, value in wanted.items() if value is not None}
    clauses = [
        clause
        for name, clause in (("journey", "journey = :journey"), ("before", "id < CAST(:before AS uuid)"))
        if name in values
    ]
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    result = await connection.execute(
        sa.text(f"{_READ} {where} ORDER BY id DESC LIMIT :limit").columns(**_TYPES),
        {**values, "limit": limit},
    )
    return [batch.build(Crowd, row) for row in result.mappings()]


async def neglected(connection: AsyncConnection, older_than: timedelta) -> list[Crowd]:
    """Crowds that nobody has begun, or that nobody has worked on for so long (wall)."""
    result = await connection.execute(
        sa.text(f"""
            {_READ} WHERE status IN ('waiting', 'entering')
            AND (status = 'waiting' OR touched_at < now() - CAST(:age AS interval)) ORDER BY id
        """).columns(**_TYPES),
        {"age": older_than},
    )
    return [batch.build(Crowd, row) for row in result.mappings()]


# --- the life of a crowd --------------------------------------------------------------------------------


async def begin(connection: AsyncConnection, crowd_id: str) -> None:
    """From now on the crowd is entering, and routers keep what may concern it."""
    await connection.execute(
        sa.text("""
            UPDATE crowds SET status = 'entering', touched_at = now() WHERE id = :id AND status = 'waiting'
        """),
        {"id": crowd_id},
    )


async def set_out(
    connection: AsyncConnection, crowd: Crowd, at: datetime, condition: Condition | None = None
) -> None:
    """Fixes the logical instant at which everybody enters, and counts who is to be looked at.

    `condition` is that of a segment, at this instant.
    """
    everybody = "SELECT count(*) FROM profiles WHERE merged_into IS NULL"
    values: dict[str, Any] = {"id": crowd.id, "at": at}
    match crowd.what:
        case "all":
            counted = everybody
        case "tag":
            counted = f"SELECT count(*) FROM profiles p WHERE p.merged_into IS NULL AND {TAGGED}"
            values["tag"] = crowd.tag
        case "list":
            counted = "SELECT count(*) FROM crowd_members WHERE crowd_id = :id"
        case "segment":
            assert condition is not None
            counted = (
                f"SELECT count(*) FROM profiles p {condition.joins} "
                f"WHERE p.merged_into IS NULL AND {condition.where}"
            )
            values |= condition.parameters
    await connection.execute(
        sa.text(f"""
            UPDATE crowds SET entered_at = :at, touched_at = now(), total = ({counted})
            WHERE id = :id AND entered_at IS NULL
        """),
        values,
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A crowd that nobody else works on until the transaction ends. `journey`: the status of its journey."""

    crowd: Crowd
    journey: str | None


# Tables grow a hundredfold under a crowd: a plan that was made when they were empty must not be kept, and one
# that reads whole tables is never right for a slice.
_HOLD = sa.text(f"""
    SELECT {batch.columns(Crowd, "c")}, (SELECT status FROM journeys WHERE name = c.journey) AS of_journey,
        set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
        set_config('enable_mergejoin', 'off', true)
    FROM crowds c WHERE c.id = :id FOR UPDATE OF c
""").columns(**_TYPES)


async def hold(connection: AsyncConnection, crowd_id: str) -> Held | None:
    """Takes a crowd in hand, and sees to it that the slices of this transaction are planned anew."""
    row = (await connection.execute(_HOLD, {"id": crowd_id})).mappings().one_or_none()
    return None if row is None else Held(batch.build(Crowd, row), row["of_journey"])


@dataclass(frozen=True, slots=True)
class Step:
    """What one slice came to. `cursor` is the last profile it took in; None: there was nobody left."""

    cursor: str | None
    looked: int = 0
    entered: int = 0
    restarted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


_ADVANCE = sa.text(f"""
    WITH c AS (
        UPDATE crowds SET cursor = coalesce(CAST(:cursor AS uuid), cursor), looked = looked + :looked,
            entered = entered + :entered, restarted = restarted + :restarted,
            refused = CAST(:refused AS jsonb), touched_at = now()
        WHERE id = :id RETURNING *)
    SELECT {batch.columns(Crowd, "c")},
        (SELECT count(pg_notify(:channel, what)) FROM unnest(CAST(:bells AS text[])) what) AS rung
    FROM c
""").columns(**_TYPES)


async def advance(connection: AsyncConnection, crowd: Crowd, step: Step, run_as: str) -> Crowd:
    """Notes how far a crowd that the caller holds has come, and rings for whoever runs enrolments."""
    pool = run_as == "pool"
    bells = [f"{crowd.journey}/{shard}" for shard in range(POOL_SHARDS)] if pool else [""]
    refused = dict(crowd.refused)
    for reason, count in step.refused.items():
        refused[reason] = refused.get(reason, 0) + count
    values = {
        "id": crowd.id,
        "cursor": step.cursor,
        "looked": step.looked,
        "entered": step.entered,
        "restarted": step.restarted,
        "refused": jsonb.dumps(refused),
        "channel": POOL_CHANNEL if pool else STARTS_CHANNEL,
        "bells": bells if step.entered else [],
    }
    return batch.build(Crowd, (await connection.execute(_ADVANCE, values)).mappings().one())


async def end(
    connection: AsyncConnection, crowd_id: str, status: Status, error: str | None = None
) -> Crowd | None:
    """Ends a crowd that is not over; the crowd as it stood before, None if there is none."""
    crowd = await get(connection, crowd_id, hold=True)
    if crowd is not None and not crowd.over:
        await connection.execute(
            sa.text("""
                UPDATE crowds SET status = :status, error = :error, finished_at = now(), touched_at = now()
                WHERE id = :id
            """),
            {"id": crowd_id, "status": status, "error": error},
        )
    return crowd


async def clear(connection: AsyncConnection, crowd_id: str) -> None:
    """Drops what was kept beside a crowd that is over."""
    for table in ("crowd_members", "crowd_events"):
        await connection.execute(sa.text(f"DELETE FROM {table} WHERE crowd_id = :id"), {"id": crowd_id})


# --- events that come while it enters -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entering:
    """A crowd on its way in. `entered_at` is None for the moment before that is fixed."""

    id: str
    digest: str
    entered_at: datetime | None


async def entering(connection: AsyncConnection) -> list[Entering]:
    """Crowds on their way in: cheap, for routers that look at each batch."""
    result = await connection.execute(
        sa.text("""
            SELECT id, digest, entered_at FROM crowds WHERE status = 'entering'
        """).columns(id=sa.Uuid(as_uuid=False))
    )
    return [batch.build(Entering, row) for row in result.mappings()]


async def keep_events(connection: AsyncConnection, kept: Sequence[tuple[str, str]]) -> None:
    """Keeps events (crowd, event) for when everybody is in."""
    if kept:
        await connection.execute(
            sa.text(f"""
                INSERT INTO crowd_events (crowd_id, event_id)
                SELECT crowd_id, event_id FROM {batch.records(crowd_id="uuid", event_id="uuid")}
                ON CONFLICT DO NOTHING
            """),
            batch.rows([{"crowd_id": crowd, "event_id": event} for crowd, event in kept]),
        )


async def take_events(connection: AsyncConnection, crowd_id: str, limit: int) -> list[str]:
    """Takes out some of the events that were kept for a crowd."""
    result = await connection.execute(
        sa.text("""
            DELETE FROM crowd_events WHERE crowd_id = :id AND event_id IN (
                SELECT event_id FROM crowd_events WHERE crowd_id = :id ORDER BY event_id LIMIT :limit)
            RETURNING event_id
        """).columns(event_id=sa.Uuid(as_uuid=False)),
        {"id": crowd_id, "limit": limit},
    )
    return [row.event_id for row in result]
