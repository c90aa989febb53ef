"""Advertising audiences: a ledger of changes, worked off in batches, and who is on an audience.

A step only notes a change. Of several that wait for one person the last word counts. One worker at a time is
at an audience, by a lease on its row in `audience_work`, so that changes reach the provider in their order.
Who is about to be put on is written down before the call, with the hashes that the provider is told: whoever
is erased then can still be taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

_ID = sa.Uuid(as_uuid=False)


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change that a step asks for, at the logical instant `at`."""

    audience: str
    profile_id: str
    adds: bool
    enrolment_id: str
    step: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A change that waits. `digests`: what the provider has of them already, as `kind:hash`."""

    id: int
    profile_id: str
    adds: bool
    cause: str
    at: datetime
    digests: list[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settled:
    """How a change came out: `done`, `skipped`, `failed`, or `waiting` still."""

    change: Change
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an audience stands. Times are of the wall; `due_at`: no call before."""

    audience: str
    members: int
    waiting: int
    failed: int
    skipped: int
    waiting_since_at: datetime | None
    called_at: datetime | None
    due_at: datetime | None
    error: str | None


_NOTE = sa.text(f"""
    INSERT INTO audience_changes (audience, profile_id, adds, cause, enrolment_id, step, at)
    SELECT audience, profile_id, adds, 'step', enrolment_id, step, at
    FROM {
    batch.records(
        place="integer",
        audience="text",
        profile_id="uuid",
        adds="boolean",
        enrolment_id="uuid",
        step="text",
        at="timestamptz",
    )
} ORDER BY place
""")


async def note(connection: AsyncConnection, changes: Sequence[NewChange]) -> None:
    """Notes changes, to be made soon."""
    values = [
        {"place": place, **{name: getattr(change, name) for name in NewChange.__slots__}}
        for place, change in enumerate(changes)
    ]
    if values:
        await connection.execute(_NOTE, batch.rows(values))


async def to_look_at(connection: AsyncConnection, audience: str, limit: int) -> list[tuple[str, bool]]:
    """Members of whom it is to be asked again whether they may be on it, and whether they are still there."""
    result = await connection.execute(
        sa.text("""
            SELECT m.profile_id, EXISTS (SELECT 1 FROM profiles p WHERE p.id = m.profile_id) AS there
            FROM audience_members m WHERE m.audience = :audience AND m.recheck
            ORDER BY m.profile_id LIMIT :limit FOR UPDATE SKIP LOCKED
        """).columns(profile_id=_ID),
        {"audience": audience, "limit": limit},
    )
    return [(row.profile_id, row.there) for row in result]


async def looked_at(
    connection: AsyncConnection, audience: str, leave: Mapping[str, str], stay: Iterable[str], at: datetime
) -> None:
    """These are to leave, each for its cause; those may stay."""
    ids = {"audience": audience, "ids": sorted({*leave, *stay})}
    await connection.execute(
        sa.text("""UPDATE audience_members SET recheck = false
                   WHERE audience = :audience AND profile_id = ANY(CAST(:ids AS uuid[]))"""),
        ids,
    )
    values = [{"profile_id": profile_id, "cause": cause} for profile_id, cause in sorted(leave.items())]
    if values:
        await connection.execute(
            sa.text(f"""
                INSERT INTO audience_changes (audience, profile_id, adds, cause, at)
                SELECT :audience, profile_id, false, cause, :at
                FROM {batch.records(profile_id="uuid", cause="text")}
            """),
            {**batch.rows(values), "audience": audience, "at": at},
        )


_LEASE = sa.text("""
    INSERT INTO audience_work AS w (audience, owner, leased_until)
    SELECT :audience, :owner, now() + CAST(:lease AS interval)
    WHERE EXISTS (SELECT 1 FROM audience_changes WHERE audience = :audience AND state = 'waiting')
    ON CONFLICT (audience) DO UPDATE SET owner = excluded.owner, leased_until = excluded.leased_until
        WHERE (w.leased_until IS NULL OR w.leased_until < now()) AND (w.due_at IS NULL OR w.due_at <= now())
    RETURNING attempts
""")
# Of one person the last word, by the instant at which it was said.
_SUPERSEDE = sa.text("""
    UPDATE audience_changes c SET state = 'superseded', settled_at = now()
    WHERE c.audience = :audience AND c.state = 'waiting' AND EXISTS (
        SELECT 1 FROM audience_changes l WHERE l.audience = c.audience AND l.profile_id = c.profile_id
        AND l.state = 'waiting' AND (l.at, l.id) > (c.at, c.id))
""")
_WAITING = sa.text("""
    SELECT c.id, c.profile_id, c.adds, c.cause, c.at, coalesce(m.digests, '{}') AS digests
    FROM audience_changes c
    LEFT JOIN audience_members m ON m.audience = c.audience AND m.profile_id = c.profile_id
    WHERE c.audience = :audience AND c.state = 'waiting' ORDER BY c.id LIMIT :limit
""").columns(profile_id=_ID)


async def claim(
    connection: AsyncConnection, audience: str, owner: str, limit: int, lease: timedelta
) -> tuple[int, list[Change]]:
    """The audience's changes to make now, one a person, and how many calls before came to nothing.

    Nobody else gets any of this audience for as long as the lease, or until `release`.
    """
    values = {"audience": audience, "owner": owner, "lease": lease}
    attempts = (await connection.execute(_LEASE, values)).scalar_one_or_none()
    if attempts is None:
        return 0, []
    await connection.execute(_SUPERSEDE, {"audience": audience})
    found = await connection.execute(_WAITING, {"audience": audience, "limit": limit})
    return attempts, [Change(*row) for row in found]


async def going_on(
    connection: AsyncConnection, audience: str, members: Sequence[tuple[str, Sequence[str], datetime]]
) -> None:
    """These are about to be put on, with these hashes."""
    values = [{"profile_id": i, "digests": list(digests), "at": at} for i, digests, at in members]
    if values:
        await connection.execute(
            sa.text(f"""
                INSERT INTO audience_members AS m (audience, profile_id, digests, since_at)
                SELECT :audience, profile_id, digests, at
                FROM {batch.records(profile_id="uuid", digests="text[]", at="timestamptz")}
                ORDER BY profile_id
                ON CONFLICT (audience, profile_id) DO UPDATE SET digests = ARRAY(
                    SELECT DISTINCT d FROM unnest(m.digests || excluded.digests) d ORDER BY d)
            """),
            {**batch.rows(values), "audience": audience},
        )


async def settle(connection: AsyncConnection, audience: str, settled: Sequence[Settled]) -> None:
    """Writes how changes came out; who was taken off is a member no more."""
    values = [{"id": s.change.id, "state": s.state, "reason": s.reason} for s in settled]
    if values:
        await connection.execute(
            sa.text(f"""
                UPDATE audience_changes c SET state = r.state, reason = r.reason,
                    settled_at = CASE WHEN r.state = 'waiting' THEN NULL ELSE now() END
                FROM {batch.records(id="bigint", state="text", reason="text")}
                WHERE c.id = r.id AND c.state = 'waiting'
            """),
            batch.rows(values),
        )
    gone = sorted({s.change.profile_id for s in settled if s.state == "done" and not s.change.adds})
    if gone:
        await connection.execute(
            sa.text("""DELETE FROM audience_members
                       WHERE audience = :audience AND profile_id = ANY(CAST(:ids AS uuid[]))"""),
            {"audience": audience, "ids": gone},
        )


async def release(
    connection: AsyncConnection, audience: str, owner: str, error: str | None, pause: timedelta | None
) -> None:
    """Gives the audience back; with an `error` and a `pause` nobody calls before that long has passed."""
    await connection.execute(
        sa.text("""
            UPDATE audience_work SET owner = NULL, leased_until = NULL, called_at = now(), error = :error,
                attempts = CASE WHEN CAST(:pause AS interval) IS NULL THEN 0 ELSE attempts + 1 END,
                due_at = now() + CAST(:pause AS interval)
            WHERE audience = :audience AND owner = :owner
        """),
        {"audience": audience, "owner": owner, "error": error, "pause": pause},
    )


async def standing(connection: AsyncConnection) -> list[Standing]:
    """How each audience stands, by name; also those that have only something left."""
    result = await connection.execute(
        sa.text("""
            SELECT n.audience,
                (SELECT count(*) FROM audience_members m WHERE m.audience = n.audience) AS members,
                count(c.id) FILTER (WHERE c.state = 'waiting') AS waiting,
                count(c.id) FILTER (WHERE c.state = 'failed') AS failed,
                count(c.id) FILTER (WHERE c.state = 'skipped') AS skipped,
                min(c.created_at) FILTER (WHERE c.state = 'waiting') AS waiting_since_at,
                w.called_at, w.due_at,
                coalesce(w.error, (SELECT f.reason FROM audience_changes f WHERE f.audience = n.audience
                    AND f.state = 'failed' ORDER BY f.id DESC LIMIT 1)) AS error
            FROM (SELECT audience FROM audience_work UNION SELECT audience FROM audience_changes
                  UNION SELECT audience FROM audience_members) n
            LEFT JOIN audience_changes c ON c.audience = n.audience
            LEFT JOIN audience_work w ON w.audience = n.audience
            GROUP BY n.audience, w.called_at, w.due_at, w.error ORDER BY n.audience
        """)
    )
    return [Standing(*row) for row in result]


async def again(connection: AsyncConnection, audience: str) -> int:
    """Makes at once what was refused, or waits after a failure; how many changes there are.

    What was refused is left so where something else was said of that person since.
    """
    values: dict[str, Any] = {"audience": audience}
    await connection.execute(
        sa.text("UPDATE audience_work SET due_at = NULL, attempts = 0 WHERE audience = :audience"), values
    )
    result = await connection.execute(
        sa.text("""
            UPDATE audience_changes c SET state = 'waiting', reason = NULL, settled_at = NULL
            WHERE c.audience = :audience AND (c.state = 'waiting' OR (c.state = 'failed' AND NOT EXISTS (
                SELECT 1 FROM audience_changes l WHERE l.audience = c.audience
                AND l.profile_id = c.profile_id AND (l.at, l.id) > (c.at, c.id))))
        """),
        values,
    )
    return result.rowcount


async def forget_settled(connection: AsyncConnection, older: timedelta) -> None:
    """Forgets changes that came to their end so long ago, by the wall."""
    await connection.execute(
        sa.text("""DELETE FROM audience_changes
                   WHERE state <> 'waiting' AND settled_at < now() - CAST(:older AS interval)"""),
        {"older": older},
    )
