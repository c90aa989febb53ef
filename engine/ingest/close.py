"""The end of an enrolment, whoever brings it about: one way to write it, and to say it.

The row ends and `journey.exited` is recorded in one transaction. The router takes that event like any
other, in its place among the customer's events, and frees the entry: a trigger that was refused only
because the enrolment seemed live enters then. So an end needs no lock on entry, wherever it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

from engine.core import wire
from engine.core.commands import Trace
from engine.core.inputs import Exit
from engine.ingest.heeded import Heeded
from engine.ingest.recording import Internal, record_events
from engine.store import enrolments, entries, traces
from engine.store.database import in_transaction
from engine.store.enrolments import End, Enrolment, Progress

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine


EXITED: Final = "journey.exited"


class Work(Protocol):
    """What a driver hands over at the end of an enrolment."""

    enrolment_id: str
    at: str
    event_id: str | None
    exit: str | None
    exit_detail: str | None
    variants: dict[str, str]
    trace: list[dict[str, Any]]
    trace_from: int


class Ports(Protocol):
    @property
    def database(self) -> AsyncEngine: ...


@dataclass(slots=True)
class Close:
    """The end of one enrolment, with what is not written yet of its way there.

    `trace` holds lines, the first of them number `trace_from`.
    """

    enrolment_id: str
    exit: Exit
    at: datetime
    detail: str | None = None
    moved_by: str | None = None
    variants: Mapping[str, str] | None = None
    trace: tuple[Trace, ...] = ()
    trace_from: int = 0

    @classmethod
    def from_work(cls, work: Work) -> Self:
        return cls(
            enrolment_id=work.enrolment_id,
            exit=cast(Exit, work.exit),
            at=datetime.fromisoformat(work.at),
            detail=work.exit_detail,
            moved_by=work.event_id,
            variants=work.variants,
            trace=tuple(wire.input_from_json(line) for line in work.trace),
            trace_from=work.trace_from,
        )


async def close_enrolments(ports: Ports, closes: Sequence[Close]) -> None:
    """Records these ends, in one transaction. The same again changes nothing."""
    await in_transaction(ports.database, lambda connection: record_closes(connection, closes))


async def record_closes(
    connection: AsyncConnection, closes: Sequence[Close], heeded: Heeded | None = None
) -> None:
    """Records these ends in the caller's transaction. With `heeded` it need not be routed where nobody
    waits for an end: neither a journey nor, since it came in with a crowd, its own entry."""
    if not closes:
        return
    await traces.append_batch(
        connection,
        [(close.enrolment_id, close.trace_from, close.trace) for close in closes],
    )
    ends = [
        End(close.enrolment_id, close.exit, close.at, close.detail, close.moved_by, close.variants)
        for close in closes
    ]
    ended = await end_enrolments(connection, ends, datetime.now(UTC), heeded)
    # One that was superseded had its end written before it knew: its way there is still to be told.
    late = [
        Progress(
            close.enrolment_id,
            moved_by=close.moved_by,
            variants=dict(close.variants or {}),
            exact=close.variants is not None,
        )
        for close in closes
        if close.enrolment_id not in ended and (close.moved_by is not None or close.variants is not None)
    ]
    await enrolments.progress_batch(connection, late)


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


async def end_enrolments(
    connection: AsyncConnection, ends: Sequence[End], wall: datetime, heeded: Heeded | None = None
) -> set[str]:
    """Ends those that are live, and records `journey.exited` for each; returns their ids."""
    ended = await enrolments.end_batch(connection, ends)
    if ended:
        unheeded = set[str]()
        if heeded is not None and EXITED not in await heeded.names(connection):
            of_crowds = [(row.id, row.profile_id) for row in ended.values() if row.trigger_event_id is None]
            unheeded = {i for i, _ in of_crowds} - await entries.awaited(connection, of_crowds)
        exited = [_exited(row, wall, heeded=row.id not in unheeded) for row in ended.values()]
        await record_events(connection, exited, wall)
    return set(ended)


def _exited(row: Enrolment, wall: datetime, *, heeded: bool) -> Internal:
    properties = {"journey": row.journey, "exit": row.exit, "enrolment_id": row.id, "one_per": row.one_per}
    at = row.ended_at or wall
    return Internal(row.profile_id, EXITED, at, f"exited/{row.id}", properties, heeded)
