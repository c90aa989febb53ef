"""Traces: what happened in an enrolment, line by line, in logical time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.commands import Trace
from engine.store import batch

_APPEND = sa.text(f"""
    INSERT INTO traces (enrolment_id, seq, at, result, step, detail, passed_over)
    SELECT enrolment_id, seq, at, result, step, detail, passed_over
    FROM {
    batch.records(
        enrolment_id="uuid",
        seq="integer",
        at="timestamptz",
        result="text",
        step="text",
        detail="text",
        passed_over="jsonb",
    )
}
    ON CONFLICT (enrolment_id, seq) DO NOTHING
""")

Append = tuple[str, int, Sequence[Trace]]
"""Enrolment, the place of the first line (from 0), and the lines."""


async def append_batch(connection: AsyncConnection, appended: Iterable[Append]) -> None:
    """Writes lines of many enrolments. A line that is there already stays: writing twice is harmless."""
    values = [
        {**asdict(line), "enrolment_id": enrolment_id, "seq": seq}
        for enrolment_id, start, lines in appended
        for seq, line in enumerate(lines, start)
    ]
    if values:
        await connection.execute(_APPEND, batch.rows(values))


async def begun(connection: AsyncConnection, enrolment_ids: Iterable[str]) -> set[str]:
    """Those of these enrolments that have a first line."""
    result = await connection.execute(_BEGUN, {"ids": list(enrolment_ids)})
    return {row.enrolment_id for row in result}


_BEGUN = sa.text(
    "SELECT enrolment_id FROM traces WHERE enrolment_id = ANY(CAST(:ids AS uuid[])) AND seq = 0"
).columns(enrolment_id=sa.Uuid(as_uuid=False))


async def append(connection: AsyncConnection, enrolment_id: str, seq: int, lines: Sequence[Trace]) -> None:
    """Writes lines of one enrolment, the first of them at place `seq`."""
    await append_batch(connection, [(enrolment_id, seq, lines)])


async def read_batch(connection: AsyncConnection, enrolment_ids: Iterable[str]) -> dict[str, list[Trace]]:
    """The traces of these enrolments, in order."""
    result = await connection.execute(
        sa.text(
            "SELECT enrolment_id, at, result, step, detail, passed_over FROM traces "
            "WHERE enrolment_id = ANY(CAST(:ids AS uuid[])) ORDER BY enrolment_id, seq"
        ).columns(enrolment_id=sa.Uuid(as_uuid=False), passed_over=JSONB),
        {"ids": sorted(set(enrolment_ids))},
    )
    found: dict[str, list[Trace]] = {}
    for row in result:
        passed_over = tuple((channel, reason) for channel, reason in row.passed_over)
        line = Trace(row.at, row.result, row.step, row.detail, passed_over)
        found.setdefault(row.enrolment_id, []).append(line)
    return found
