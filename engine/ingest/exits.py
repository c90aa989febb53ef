"""The end of an enrolment, whoever brings it about: one way to write it, and to say it.

The row ends and `journey.exited` is recorded in one transaction. The router takes that event like any
other, in its place among the customer's events, and frees the entry: a trigger that was refused only
because the enrolment seemed live enters then. So an end needs no lock on entry, wherever it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.core.inputs import Exit
from engine.ingest.recording import Internal, record_events
from engine.store import enrolments
from engine.store.enrolments import End, Enrolment

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


async def close_enrolment(
    connection: AsyncConnection,
    enrolment_id: str,
    exit: Exit,
    detail: str | None,
    ended_at: datetime,
) -> bool:
    """Ends the enrolment at the logical instant `ended_at`; False if it had ended before."""
    end = End(enrolment_id, exit, ended_at, detail)
    return bool(await end_enrolments(connection, [end], datetime.now(UTC)))


async def end_enrolments(connection: AsyncConnection, ends: Sequence[End], wall: datetime) -> set[str]:
    """Ends those that are live, and records `journey.exited` for each; returns their ids."""
    ended = await enrolments.end_batch(connection, ends)
    if ended:
        rows = await enrolments.get_batch(connection, ended)
        await record_events(connection, [_exited(row, wall) for row in rows.values()], wall)
    return ended


def _exited(row: Enrolment, wall: datetime) -> Internal:
    properties = {"journey": row.journey, "exit": row.exit, "enrolment_id": row.id, "one_per": row.one_per}
    return Internal(row.profile_id, "journey.exited", row.ended_at or wall, f"exited/{row.id}", properties)
