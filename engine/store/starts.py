"""The outbox to Temporal: workflows to start, wake or control, written with the rows that call for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, jsonb
from engine.store.tables import STARTS_CHANNEL

Kind = Literal["start", "wake", "control"]


@dataclass(frozen=True, slots=True)
class NewStart:
    """`payload` holds ids and answers of expressions only: it ends up in workflow histories."""

    kind: Kind
    workflow_id: str
    enrolment_id: str
    payload: dict[str, Any] = field(default_factory=dict)
    journey: str = ""
    acts: bool = False
    """A start: the enrolment has work to do at once, which leaves a trace when it is begun."""


@dataclass(frozen=True, slots=True)
class Start:
    """An open row. `id` is the order in which rows of one workflow must be played."""

    id: int
    kind: Kind
    workflow_id: str
    enrolment_id: str
    payload: dict[str, Any]
    attempts: int
    created_at: datetime
    journey: str = ""
    acts: bool = False


async def add_batch(connection: AsyncConnection, new: Sequence[NewStart]) -> None:
    """Adds rows in the order given, and wakes whoever plays them when the transaction commits."""
    if not new:
        return
    fields = batch.records(
        place="integer",
        kind="text",
        workflow_id="text",
        enrolment_id="uuid",
        payload="jsonb",
        journey="text",
        acts="boolean",
    )
    await connection.execute(
        sa.text(f"""
            INSERT INTO start_outbox (kind, workflow_id, enrolment_id, payload, journey, acts)
            SELECT kind, workflow_id, enrolment_id, payload, journey, acts FROM {fields} ORDER BY place
        """),
        batch.rows(
            [
                {
                    "place": place,
                    "kind": n.kind,
                    "workflow_id": n.workflow_id,
                    "enrolment_id": n.enrolment_id,
                    "payload": n.payload,
                    "journey": n.journey,
                    "acts": n.acts,
                }
                for place, n in enumerate(new)
            ]
        ),
    )
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": STARTS_CHANNEL})


_OPEN = f"SELECT {batch.columns(Start, 's')} FROM start_outbox s"
_KINDS: dict[str, Any] = {"enrolment_id": sa.Uuid(as_uuid=False), "payload": JSONB}
_FREE = """
    s.done_at IS NULL AND s.workflow_id <> ALL (CAST(:busy AS text[]))
    AND (s.not_before IS NULL OR s.not_before <= now())
"""

_WAKES = sa.text(f"""
    {_OPEN} WHERE s.kind <> 'start' AND {_FREE} AND NOT EXISTS (
        SELECT 1 FROM start_outbox o WHERE o.done_at IS NULL AND o.workflow_id = s.workflow_id
        AND o.id < s.id AND (o.kind = 'start' OR o.not_before > now()))
    ORDER BY s.id LIMIT :limit
""").columns(**_KINDS)


async def open_wakes(connection: AsyncConnection, busy: Sequence[str], limit: int) -> list[Start]:
    """The oldest open wakes and controls of enrolments that are started and not among the `busy` workflows.

    None of a workflow that waits for its next try. Locks nothing: for the one player that leads.
    """
    result = await connection.execute(_WAKES, {"busy": list(busy), "limit": limit})
    return [batch.build(Start, row) for row in result.mappings()]


async def fresh_starts(
    connection: AsyncConnection, journeys: Sequence[str], within: timedelta, known: Sequence[str], limit: int
) -> list[Start]:
    """Starts of these journeys that are not played yet and no older (wall); not of enrolments `known`."""
    result = await connection.execute(
        sa.text(f"""
            {_OPEN} WHERE s.done_at IS NULL AND s.kind = 'start'
                AND s.journey = ANY(CAST(:journeys AS text[]))
                AND s.created_at > now() - CAST(:within AS interval)
                AND s.enrolment_id <> ALL (CAST(:known AS uuid[]))
            ORDER BY s.id LIMIT :limit
        """).columns(**_KINDS),
        {"journeys": list(journeys), "within": within, "known": list(known), "limit": limit},
    )
    return [batch.build(Start, row) for row in result.mappings()]


_STARTS = sa.text(f"""
    WITH RECURSIVE waiting AS (
        (SELECT min(journey) AS journey FROM start_outbox WHERE done_at IS NULL AND kind = 'start')
        UNION ALL
        SELECT (SELECT min(o.journey) FROM start_outbox o
                WHERE o.done_at IS NULL AND o.kind = 'start' AND o.journey > w.journey)
        FROM waiting w WHERE w.journey IS NOT NULL)
    SELECT {batch.columns(Start, "s")} FROM waiting w
    LEFT JOIN {batch.records(name="text", has="bigint")} ON r.name = w.journey
    CROSS JOIN LATERAL (
        SELECT f.*, row_number() OVER (ORDER BY f.id) AS turn FROM (
            SELECT * FROM start_outbox s WHERE s.kind = 'start' AND s.journey = w.journey AND {_FREE}
            ORDER BY s.id LIMIT :limit) f) s
    ORDER BY s.turn + coalesce(r.has, 0), s.id LIMIT :limit
""").columns(**_KINDS)


async def open_starts(
    connection: AsyncConnection, busy: Sequence[str], has: Mapping[str, int], limit: int
) -> list[Start]:
    """Open starts, journeys in turns: first those of journeys that have the fewest under way (`has`).

    Then their oldest. None of the `busy` workflows, nor of one that waits for its next try.
    """
    counts = batch.rows([{"name": journey, "has": count} for journey, count in has.items()])
    result = await connection.execute(_STARTS, {"busy": list(busy), "limit": limit} | counts)
    return [batch.build(Start, row) for row in result.mappings()]


_WITH = sa.text(f"""
    {_OPEN} WHERE s.done_at IS NULL AND s.kind <> 'start'
    AND s.workflow_id = ANY (CAST(:workflows AS text[])) ORDER BY s.id
""").columns(**_KINDS)


async def open_with(connection: AsyncConnection, workflow_ids: Sequence[str]) -> list[Start]:
    """Open wakes and controls of these workflows, to be handed over with their starts."""
    if not workflow_ids:
        return []
    result = await connection.execute(_WITH, {"workflows": list(workflow_ids)})
    return [batch.build(Start, row) for row in result.mappings()]


async def play_again(connection: AsyncConnection, enrolment_ids: Sequence[str]) -> int:
    """Opens all rows of these enrolments again, for a runner that has lost them; returns how many."""
    result = await connection.execute(
        sa.text("""
            UPDATE start_outbox SET done_at = NULL, not_before = NULL
            WHERE enrolment_id = ANY(CAST(:ids AS uuid[])) AND done_at IS NOT NULL
        """),
        {"ids": list(enrolment_ids)},
    )
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": STARTS_CHANNEL})
    return result.rowcount


async def control_journey(connection: AsyncConnection, journey: str, payload: dict[str, Any]) -> int:
    """Adds a control for every live enrolment of a journey that has a workflow; returns how many."""
    result = await connection.execute(
        sa.text("""
            INSERT INTO start_outbox (kind, workflow_id, enrolment_id, payload, journey)
            SELECT 'control', workflow_id, id, CAST(:payload AS jsonb), journey FROM enrolments
            WHERE journey = :journey AND status = 'live' AND driver = 'workflow' AND workflow_id IS NOT NULL
        """),
        {"journey": journey, "payload": jsonb.dumps(payload)},
    )
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": STARTS_CHANNEL})
    return result.rowcount


async def open_count(connection: AsyncConnection) -> int:
    """How many rows are still to be played."""
    result = await connection.execute(sa.text("SELECT count(*) FROM start_outbox WHERE done_at IS NULL"))
    return int(result.scalar_one())


async def mark_done(connection: AsyncConnection, ids: Iterable[int]) -> None:
    """Marks rows as played."""
    await connection.execute(
        sa.text("UPDATE start_outbox SET done_at = now() WHERE id = ANY(CAST(:ids AS bigint[]))"),
        {"ids": list(ids)},
    )


async def mark_failed(
    connection: AsyncConnection, failures: Sequence[tuple[int, str]], retry_after: timedelta
) -> None:
    """Notes failed tries (row, error); they are open again after `retry_after` of wall time."""
    if failures:
        await connection.execute(
            sa.text(f"""
                UPDATE start_outbox s SET attempts = s.attempts + 1, error = r.error,
                    not_before = now() + CAST(:after AS interval)
                FROM {batch.records(id="bigint", error="text")} WHERE s.id = r.id
            """),
            batch.rows([{"id": i, "error": error} for i, error in failures]) | {"after": retry_after},
        )


async def forget_done(connection: AsyncConnection, older_than: timedelta) -> int:
    """Deletes rows played longer ago than this; returns how many. Those of live enrolments stay: an
    enrolment that loses its workflow is started again from them."""
    result = await connection.execute(
        sa.text("""
            DELETE FROM start_outbox s WHERE done_at < now() - CAST(:age AS interval) AND NOT EXISTS
                (SELECT 1 FROM enrolments e WHERE e.id = s.enrolment_id AND e.status = 'live')
        """),
        {"age": older_than},
    )
    return result.rowcount
