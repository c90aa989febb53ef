"""Jobs: files that come in or go out, how far each is, and what of it was left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store import batch
from engine.store.tables import JOBS_CHANNEL

Kind = Literal["import_customers", "import_events", "export"]
State = Literal["waiting", "running", "done", "failed"]
PART: Final = 1 << 20
"""Bytes of a file in one row."""
_LOCK: Final = 0x4A4F  # "JO", the first half of the key of an advisory lock


@dataclass(frozen=True, slots=True)
class Job:
    """`done` rows of the file are in. `at` is logical; `created_at`, `finished_at` are of the wall.

    `remote`: a worker does it. `complete`: all parts of its file are there.
    """

    id: str
    kind: Kind
    state: State
    name: str | None
    digest: str | None
    options: dict[str, Any] = field(repr=False)
    at: datetime
    done: int
    total: int | None
    counts: dict[str, int]
    error: str | None
    created_by: str | None
    remote: bool
    complete: bool
    created_at: datetime
    touched_at: datetime
    finished_at: datetime | None

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed")


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that was left out (`kept`: that is in but for a part), and why. Reasons hold no values."""

    line: int
    reason: str
    kept: bool = False


_COLUMNS = batch.columns(Job)
_TYPES: dict[str, Any] = {"id": sa.Uuid(as_uuid=False), "options": JSONB, "counts": JSONB}


def _jobs(rest: str) -> Any:
    return sa.text(f"SELECT {_COLUMNS} FROM jobs {rest}").columns(**_TYPES)


async def make(
    connection: AsyncConnection,
    job_id: str,
    kind: Kind,
    at: datetime,
    options: Mapping[str, Any],
    *,
    name: str | None = None,
    digest: str | None = None,
    total: int | None = None,
    created_by: str | None = None,
    remote: bool = False,
    complete: bool = True,
) -> Job:
    """Makes a job, and wakes workers for a remote one that is complete."""
    result = await connection.execute(
        sa.text(f"""
            INSERT INTO jobs (id, kind, at, options, name, digest, total, created_by, remote, complete)
            VALUES (:id, :kind, :at, CAST(:options AS jsonb), :name, :digest, :total, :by, :remote, :complete)
            RETURNING {_COLUMNS}
        """).columns(**_TYPES),
        {
            "id": job_id,
            "kind": kind,
            "at": at,
            "options": json.dumps(dict(options)),
            "name": name,
            "digest": digest,
            "total": total,
            "by": created_by,
            "remote": remote,
            "complete": complete,
        },
    )
    if remote and complete:
        await _wake(connection)
    return batch.build(Job, result.mappings().one())


async def get(connection: AsyncConnection, job_id: str, *, lock: bool = False) -> Job | None:
    """A job; `lock` holds it until the transaction ends."""
    rest = "WHERE id = CAST(:id AS uuid)" + (" FOR UPDATE" if lock else "")
    row = (await connection.execute(_jobs(rest), {"id": job_id})).mappings().one_or_none()
    return None if row is None else batch.build(Job, row)


async def last_of(connection: AsyncConnection, kind: Kind, digest: str) -> Job | None:
    """The last job that was made for a file of this digest."""
    rest = "WHERE kind = :kind AND digest = :digest ORDER BY created_at DESC, id LIMIT 1"
    result = await connection.execute(_jobs(rest), {"kind": kind, "digest": digest})
    row = result.mappings().one_or_none()
    return None if row is None else batch.build(Job, row)


async def listed(
    connection: AsyncConnection,
    kinds: Iterable[Kind],
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> list[Job]:
    """Jobs, the last first. `before` is (created_at, id) of the last seen."""
    clause, values = "", dict[str, Any](kinds=list(kinds), limit=limit)
    if before is not None:
        clause = "AND (created_at, id) < (:at, CAST(:id AS uuid))"
        values |= {"at": before[0], "id": before[1]}
    rest = f"WHERE kind = ANY(CAST(:kinds AS text[])) {clause} ORDER BY created_at DESC, id DESC LIMIT :limit"
    return [batch.build(Job, row) for row in (await connection.execute(_jobs(rest), values)).mappings()]


async def to_do(connection: AsyncConnection) -> list[str]:
    """Remote jobs that are not over, the oldest first."""
    result = await connection.execute(
        sa.text(
            "SELECT id FROM jobs WHERE state IN ('waiting', 'running') AND remote AND complete "
            "ORDER BY created_at, id"
        ).columns(id=sa.Uuid(as_uuid=False))
    )
    return [row.id for row in result]


async def advance(
    connection: AsyncConnection,
    job_id: str,
    before: int,
    done: int,
    counts: Mapping[str, int],
    rejects: Iterable[Reject] = (),
) -> bool:
    """Notes that rows `before` to `done` are in, with their transaction; false if somebody else was first."""
    result = await connection.execute(
        sa.text("""
            UPDATE jobs SET state = 'running', done = :done, counts = CAST(:counts AS jsonb),
                touched_at = now()
            WHERE id = CAST(:id AS uuid) AND done = :before AND state IN ('waiting', 'running')
        """),
        {"id": job_id, "before": before, "done": done, "counts": json.dumps(dict(counts))},
    )
    if not result.rowcount:
        return False
    values = [{"line": r.line, "kept": r.kept, "reason": r.reason} for r in rejects]
    if values:
        await connection.execute(
            sa.text(f"""
                INSERT INTO job_rejects (job_id, line, kept, reason)
                SELECT CAST(:id AS uuid), line, kept, reason
                FROM {batch.records(line="bigint", kept="boolean", reason="text")}
                ON CONFLICT DO NOTHING
            """),
            batch.rows(values) | {"id": job_id},
        )
    return True


async def change(connection: AsyncConnection, job_id: str, **values: Any) -> None:
    """Sets columns of a job: `state`, `error`, `digest`, `total`, `options`, `complete`."""
    shown = {n: json.dumps(v) if n in ("options", "counts") else v for n, v in values.items()}
    listed = [f"{n} = CAST(:{n} AS jsonb)" if n in ("options", "counts") else f"{n} = :{n}" for n in shown]
    if shown.get("state") in ("done", "failed"):
        listed.append("finished_at = now()")
    await connection.execute(
        sa.text(f"UPDATE jobs SET {', '.join(listed)}, touched_at = now() WHERE id = CAST(:id AS uuid)"),
        {**shown, "id": job_id},
    )
    if values.get("complete"):
        await _wake(connection)


async def rejects(
    connection: AsyncConnection, job_id: str, limit: int = 1_000, after: int = 0
) -> list[Reject]:
    """Lines that were left out, in part or in whole, in the order of the file."""
    result = await connection.execute(
        sa.text("""SELECT line, reason, kept FROM job_rejects
                   WHERE job_id = CAST(:id AS uuid) AND line > :after ORDER BY line LIMIT :limit"""),
        {"id": job_id, "after": after, "limit": limit},
    )
    return [Reject(*row) for row in result]


# --- files ----------------------------------------------------------------------------------------------


async def put_part(connection: AsyncConnection, job_id: str, number: int, data: bytes) -> None:
    """Keeps one part of a job's file; the same again replaces it."""
    await connection.execute(
        sa.text("""
            INSERT INTO job_parts (job_id, number, data) VALUES (CAST(:id AS uuid), :number, :data)
            ON CONFLICT (job_id, number) DO UPDATE SET data = excluded.data
        """),
        {"id": job_id, "number": number, "data": data},
    )


async def part(connection: AsyncConnection, job_id: str, number: int) -> bytes | None:
    """One part of a job's file; None after the last."""
    result = await connection.execute(
        sa.text("SELECT data FROM job_parts WHERE job_id = CAST(:id AS uuid) AND number = :number"),
        {"id": job_id, "number": number},
    )
    found: bytes | None = result.scalar_one_or_none()
    return found


async def parts(connection: AsyncConnection, job_id: str) -> int:
    """How many parts a job's file has."""
    result = await connection.execute(
        sa.text("SELECT count(*) FROM job_parts WHERE job_id = CAST(:id AS uuid)"), {"id": job_id}
    )
    return int(result.scalar_one())


async def drop_parts(connection: AsyncConnection, job_id: str) -> None:
    """Forgets a job's file."""
    await connection.execute(
        sa.text("DELETE FROM job_parts WHERE job_id = CAST(:id AS uuid)"), {"id": job_id}
    )


async def forget_files(connection: AsyncConnection) -> None:
    """Forgets the files of all jobs, which may hold anybody; those that are not over fail and
    can be asked for again."""
    await connection.execute(
        sa.text("""
            UPDATE jobs SET state = 'failed', finished_at = now(), touched_at = now(),
                error = 'somebody was erased meanwhile: ask for it again'
            WHERE state IN ('waiting', 'running') AND (
                kind = 'export' OR NOT complete OR EXISTS (SELECT FROM job_parts p WHERE p.job_id = jobs.id))
        """)
    )
    await connection.execute(
        sa.text("UPDATE jobs SET options = options - 'where' WHERE state IN ('done', 'failed')")
    )
    await connection.execute(sa.text("DELETE FROM job_parts"))


async def forget_old(connection: AsyncConnection, files: timedelta, rows: timedelta) -> None:
    """Forgets files of exports that are older than `files`, uploads that never ended, and what was left out
    of imports older than `rows`; all of wall time."""
    await connection.execute(
        sa.text("""
            DELETE FROM job_parts p USING jobs j WHERE p.job_id = j.id AND (
                (j.kind = 'export' AND j.finished_at < now() - CAST(:files AS interval))
                OR (NOT j.complete AND j.touched_at < now() - interval '1 day'))
        """),
        {"files": files},
    )
    await connection.execute(
        sa.text("""
            UPDATE jobs SET state = 'failed', error = 'its file never came to its end', finished_at = now()
            WHERE NOT complete AND state = 'waiting' AND touched_at < now() - interval '1 day'
        """)
    )
    await connection.execute(
        sa.text("""
            DELETE FROM job_rejects r USING jobs j
            WHERE r.job_id = j.id AND j.finished_at < now() - CAST(:rows AS interval)
        """),
        {"rows": rows},
    )


# --- one at a time --------------------------------------------------------------------------------------


@asynccontextmanager
async def holding(database: AsyncEngine, job_id: str) -> AsyncIterator[bool]:
    """Whether this process is the one that works at a job: false while another does.

    Held by a connection of its own, so that it ends with the process, however that ends.
    """
    values = {"lock": _LOCK, "job": int(job_id[:8], 16) - (1 << 31)}
    async with database.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        got = await connection.execute(sa.text("SELECT pg_try_advisory_lock(:lock, :job)"), values)
        mine = bool(got.scalar_one())
        try:
            yield mine
        finally:
            if mine:
                await connection.execute(sa.text("SELECT pg_advisory_unlock(:lock, :job)"), values)


async def _wake(connection: AsyncConnection) -> None:
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": JOBS_CHANNEL})
