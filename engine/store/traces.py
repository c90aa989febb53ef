"""Traces: what happened in an enrolment, line by line, in logical time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.commands import Trace
from engine.store import batch

_APPEND = sa.text(f"""
    INSERT INTO traces AS t (enrolment_id, seq, lines)
    SELECT id, seq, lines FROM {batch.records(id="uuid", seq="integer", lines="jsonb")}
    ON CONFLICT (enrolment_id, seq) DO UPDATE SET lines = excluded.lines
        WHERE jsonb_array_length(excluded.lines) > jsonb_array_length(t.lines)
""")

Append = tuple[str, int, Sequence[Trace]]
"""Enrolment, the place of the first line (from 0), and the lines."""


async def append_batch(connection: AsyncConnection, appended: Iterable[Append]) -> None:
    """Writes lines of many enrolments. A line that is there already stays: writing twice is harmless."""
    longest: dict[tuple[str, int], Sequence[Trace]] = {}
    for enrolment_id, seq, lines in appended:
        if len(lines) > len(longest.get((enrolment_id, seq), ())):
            longest[enrolment_id, seq] = lines
    if longest:
        values = [
            {"id": enrolment_id, "seq": seq, "lines": [_packed(line) for line in lines]}
            for (enrolment_id, seq), lines in longest.items()
        ]
        await connection.execute(_APPEND, batch.rows(values))


def _packed(line: Trace) -> list[Any]:
    packed: list[Any] = [line.at.isoformat(), line.result, line.step, line.detail, line.passed_over]
    while not packed[-1]:
        packed.pop()
    return packed


def _line(packed: Sequence[Any]) -> Trace:
    at, result, step, detail, passed_over = [*packed, *_NOTHING[len(packed) :]]
    passed = tuple((channel, reason) for channel, reason in passed_over)
    return Trace(datetime.fromisoformat(at), result, step, detail, passed)


_NOTHING: Final[list[Any]] = [None, None, None, None, ()]


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
    result = await connection.execute(_READ, {"ids": sorted(set(enrolment_ids))})
    found: dict[str, list[Trace]] = {}
    for row in result:
        lines = found.setdefault(row.enrolment_id, [])
        # Lines that were handed in again with those after them stand in two rows.
        lines.extend(_line(packed) for packed in row.lines[max(0, len(lines) - row.seq) :])
    return found


_READ = sa.text(
    "SELECT enrolment_id, seq, lines FROM traces "
    "WHERE enrolment_id = ANY(CAST(:ids AS uuid[])) ORDER BY enrolment_id, seq"
).columns(enrolment_id=sa.Uuid(as_uuid=False), lines=JSONB)
