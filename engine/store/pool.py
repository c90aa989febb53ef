"""Enrolments of the pool driver: their rows, what has come for them, and when they are to be looked at.

A journey's rows are spread over `POOL_SHARDS` shards by profile. `wake_at` is wall time; `-infinity` puts
those first to whom something has happened. Whoever stores a row names the `version` it was taken with: of
two that work on the same row one passes. `called` counts what has ever come into the inbox, so that what
came meanwhile is neither lost nor left waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, jsonb
from engine.store.shards import shard_of
from engine.store.tables import POOL_CHANNEL, POOL_SHARDS

STEP, VARIANTS = "s", "v"
"""Where a stored state, which is JSON, keeps them."""

_ROOM: Final = 0x4B00_0000  # "K": first half of an advisory lock's key, plus the journey's number
_ID = sa.Uuid(as_uuid=False)
_NUMBER = "(SELECT number FROM journeys WHERE name = :journey)"


@dataclass(frozen=True, slots=True)
class NewRow:
    """An enrolment to begin; its row in `enrolments` is written beside it."""

    enrolment_id: str
    journey: str
    profile_id: str


@dataclass(slots=True)
class Row:
    """A row that is due. `state` is what was stored last; None has not begun."""

    enrolment_id: str
    state: bytes | None
    inbox: list[dict[str, Any]]
    called: int
    version: int


@dataclass(slots=True)
class Stored:
    """What becomes of a row: `left` of its inbox waits for its turn."""

    row: Row
    state: bytes
    wake_at: datetime | None
    left: Sequence[Mapping[str, Any]] = ()


def pool_shard(profile_id: str) -> int:
    """The shard of a profile's enrolments within their journey."""
    return shard_of(profile_id) % POOL_SHARDS


_ADD = sa.text(f"""
    WITH n AS (
        INSERT INTO pool_rows (enrolment_id, journey, shard, wake_at)
        SELECT r.id, j.number, r.shard, '-infinity'
        FROM {batch.records(id="uuid", journey="text", shard="smallint")}
        JOIN journeys j ON j.name = r.journey
        ON CONFLICT DO NOTHING RETURNING journey, shard)
    SELECT pg_notify(:channel, j.name || '/' || n.shard)
    FROM (SELECT DISTINCT journey, shard FROM n) n JOIN journeys j ON j.number = n.journey
""")


async def add_batch(connection: AsyncConnection, new: Sequence[NewRow]) -> None:
    """Adds rows that are due at once, and wakes their shards when the transaction commits."""
    if not new:
        return
    values = [{"id": n.enrolment_id, "journey": n.journey, "shard": pool_shard(n.profile_id)} for n in new]
    await connection.execute(_ADD, batch.rows(values) | {"channel": POOL_CHANNEL})


_CALL = sa.text(f"""
    WITH n AS (
        UPDATE pool_rows p SET inbox = coalesce(p.inbox, '[]'::jsonb) || r.items, called = p.called + 1,
            wake_at = '-infinity'
        FROM {batch.records(id="uuid", items="jsonb")} WHERE p.enrolment_id = r.id
        RETURNING p.journey, p.shard)
    SELECT pg_notify(:channel, j.name || '/' || n.shard)
    FROM (SELECT DISTINCT journey, shard FROM n) n JOIN journeys j ON j.number = n.journey
""")


async def call_batch(
    connection: AsyncConnection, items: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]
) -> None:
    """Hands inputs (`engine.core.wire` JSON) to enrolments, in order. Those that have ended miss them."""
    values = sorted(({"id": i, "items": list(given)} for i, given in items), key=lambda one: str(one["id"]))
    if values:
        await connection.execute(_CALL, batch.rows(values) | {"channel": POOL_CHANNEL})


async def call_journey(connection: AsyncConnection, journey: str, item: Mapping[str, Any]) -> int:
    """Hands an input to every enrolment of a journey; returns how many."""
    result = await connection.execute(
        sa.text(f"""
            UPDATE pool_rows SET called = called + 1, wake_at = '-infinity',
                inbox = coalesce(inbox, '[]'::jsonb) || jsonb_build_array(CAST(:item AS jsonb))
            WHERE journey = {_NUMBER}
        """),
        {"journey": journey, "item": jsonb.dumps(item)},
    )
    if result.rowcount:
        for shard in range(POOL_SHARDS):
            await connection.execute(
                sa.text("SELECT pg_notify(:channel, :where)"),
                {"channel": POOL_CHANNEL, "where": f"{journey}/{shard}"},
            )
    return result.rowcount


_READ = "SELECT enrolment_id, state, inbox, called, version FROM pool_rows"
_KINDS: dict[str, Any] = {"enrolment_id": _ID, "inbox": JSONB}
_DUE = sa.text(f"""
    {_READ} WHERE journey = {_NUMBER} AND shard = :shard AND wake_at <= :now ORDER BY wake_at LIMIT :limit
""").columns(**_KINDS)
_BY_ID = f"{_READ} WHERE enrolment_id = ANY(CAST(:ids AS uuid[])) ORDER BY enrolment_id"
_GET = {
    False: sa.text(_BY_ID).columns(**_KINDS),
    True: sa.text(f"{_BY_ID} FOR UPDATE").columns(**_KINDS),
}


async def due_batch(
    connection: AsyncConnection, journey: str, shard: int, now: datetime, limit: int
) -> list[Row]:
    """Rows that are due at the wall instant `now`, those first to whom something has happened, then the
    longest due."""
    found = await connection.execute(_DUE, {"journey": journey, "shard": shard, "now": now, "limit": limit})
    return [_row(row) for row in found]


async def get_batch(connection: AsyncConnection, ids: Iterable[str], *, hold: bool = False) -> list[Row]:
    """Rows by enrolment; those that have ended are left out. `hold` keeps others from handing them anything
    until the transaction ends."""
    found = await connection.execute(_GET[hold], {"ids": sorted(set(ids))})
    return [_row(row) for row in found]


def _row(row: Any) -> Row:
    state = None if row.state is None else bytes(row.state)
    return Row(row.enrolment_id, state, row.inbox or [], row.called, row.version)


_STORE = sa.text("""
    UPDATE pool_rows p SET state = r.state, version = p.version + 1,
        inbox = CASE WHEN p.called = r.called THEN r.rest ELSE coalesce(r.rest, '[]'::jsonb) || coalesce((
            SELECT jsonb_agg(i.item ORDER BY i.place)
            FROM jsonb_array_elements(p.inbox) WITH ORDINALITY AS i(item, place) WHERE i.place > r.had
        ), '[]'::jsonb) END,
        wake_at = CASE WHEN p.called = r.called THEN r.wake_at ELSE '-infinity' END
    FROM unnest(CAST(:id AS uuid[]), CAST(:state AS bytea[]), CAST(:version AS integer[]),
                CAST(:called AS integer[]), CAST(:had AS integer[]), CAST(:rest AS jsonb[]),
                CAST(:wake_at AS timestamptz[])) AS r(id, state, version, called, had, rest, wake_at)
    WHERE p.enrolment_id = r.id AND p.version = r.version
    RETURNING p.enrolment_id
""").columns(enrolment_id=_ID)


async def store_batch(connection: AsyncConnection, stored: Sequence[Stored]) -> set[str]:
    """Writes what became of rows; returns the ids written. The others somebody else has worked on."""
    if not stored:
        return set()
    values = {
        "id": [one.row.enrolment_id for one in stored],
        "state": [one.state for one in stored],
        "version": [one.row.version for one in stored],
        "called": [one.row.called for one in stored],
        "had": [len(one.row.inbox) for one in stored],
        "rest": [jsonb.dumps(list(one.left)) if one.left else None for one in stored],
        "wake_at": [one.wake_at for one in stored],
    }
    return {row.enrolment_id for row in await connection.execute(_STORE, values)}


_REMOVE = sa.text("""
    DELETE FROM pool_rows p USING unnest(CAST(:id AS uuid[]), CAST(:version AS integer[])) AS r(id, version)
    WHERE p.enrolment_id = r.id AND p.version = r.version RETURNING p.enrolment_id
""").columns(enrolment_id=_ID)


async def remove_batch(connection: AsyncConnection, rows: Sequence[Row]) -> set[str]:
    """Removes rows of enrolments that have ended; returns their ids. The others were worked on elsewhere."""
    if not rows:
        return set()
    values = {"id": [row.enrolment_id for row in rows], "version": [row.version for row in rows]}
    return {row.enrolment_id for row in await connection.execute(_REMOVE, values)}


_POSTPONE = sa.text("""
    UPDATE pool_rows SET wake_at = :wake_at WHERE enrolment_id = ANY(CAST(:ids AS uuid[]))
""")


async def postpone(connection: AsyncConnection, enrolment_ids: Sequence[str], wake_at: datetime) -> None:
    """Leaves rows as they are until the wall instant `wake_at`."""
    await connection.execute(_POSTPONE, {"ids": list(enrolment_ids), "wake_at": wake_at})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a shard stands: how many rows are live, due now, and due for more than ten seconds; and when the
    next one is due, on the wall."""

    live: int
    due: int
    late: int
    next_at: datetime | None


async def standing(connection: AsyncConnection, journey: str, shard: int | None, now: datetime) -> Standing:
    """How one shard of a journey stands, or all of them."""
    clause = "" if shard is None else "AND shard = :shard"
    result = await connection.execute(
        sa.text(f"""
            SELECT count(*) AS live, count(*) FILTER (WHERE wake_at <= :now) AS due,
                count(*) FILTER (WHERE wake_at <= CAST(:now AS timestamptz) - interval '10 s'
                                 AND wake_at > '-infinity') AS late,
                CASE WHEN min(wake_at) = '-infinity' THEN :now ELSE min(wake_at) END AS next_at
            FROM pool_rows WHERE journey = {_NUMBER} {clause}
        """),
        {"journey": journey, "now": now} | ({} if shard is None else {"shard": shard}),
    )
    row = result.one()
    return Standing(row.live, row.due, row.late, row.next_at)


_NEXT = sa.text(f"""
    SELECT CASE WHEN min(wake_at) = '-infinity' THEN now() ELSE min(wake_at) END AS next_at
    FROM pool_rows WHERE journey = {_NUMBER} AND shard = :shard AND wake_at IS NOT NULL
""")


async def next_at(connection: AsyncConnection, journey: str, shard: int) -> datetime | None:
    """When the next row of the shard is due, on the wall."""
    found = await connection.execute(_NEXT, {"journey": journey, "shard": shard})
    at: datetime | None = found.scalar_one()
    return at


_ASLEEP = sa.text(f"""
    SELECT j.name, s.shard FROM journeys j CROSS JOIN generate_series(0, {POOL_SHARDS - 1}) AS s(shard)
    WHERE EXISTS (SELECT 1 FROM pool_rows p WHERE p.journey = j.number AND p.shard = s.shard
                  AND p.wake_at <= :now)
    AND NOT EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND l.classid = {_ROOM} + j.number AND l.objid = s.shard)
    ORDER BY j.name, s.shard
""")


async def asleep(connection: AsyncConnection, now: datetime) -> list[tuple[str, int]]:
    """Shards (journey, shard) that have rows due while nobody works on them."""
    return [(row.name, row.shard) for row in await connection.execute(_ASLEEP, {"now": now})]


async def try_shard(connection: AsyncConnection, journey: str, shard: int) -> bool:
    """Whether this connection is the one that works on the shard, until it is closed or gives it back."""
    found = await connection.execute(
        sa.text(f"SELECT pg_try_advisory_lock({_ROOM} + {_NUMBER}, :shard) AS got"),
        {"journey": journey, "shard": shard},
    )
    return bool(found.scalar_one())


async def give_back(connection: AsyncConnection, journey: str, shard: int) -> None:
    await connection.execute(
        sa.text(f"SELECT pg_advisory_unlock({_ROOM} + {_NUMBER}, :shard)"),
        {"journey": journey, "shard": shard},
    )


_PLACES = sa.text("""
    SELECT enrolment_id, state FROM pool_rows WHERE enrolment_id = ANY(CAST(:ids AS uuid[]))
""").columns(enrolment_id=_ID)


async def places(
    connection: AsyncConnection, enrolment_ids: Iterable[str]
) -> dict[str, tuple[str | None, dict[str, str]]]:
    """Where enrolments stand: the step, and the variants taken if their own rows do not say so."""
    ids = sorted(set(enrolment_ids))
    if not ids:
        return {}
    found = {}
    for row in await connection.execute(_PLACES, {"ids": ids}):
        try:
            state = jsonb.loads(bytes(row.state)) if row.state is not None else {}
        except ValueError:  # it cannot be worked on either; a list must not fail for it
            continue
        found[row.enrolment_id] = (state.get(STEP), state.get(VARIANTS, {}))
    return found


_BEHIND = sa.text("""
    SELECT b.profile_id, min(b.at) AS at FROM (
        SELECT e.profile_id, e.occurred_at AS at FROM events e
        WHERE e.profile_id = ANY(CAST(:ids AS uuid[])) AND e.routed_at IS NULL
        UNION ALL
        SELECT s.profile_id, s.due_at FROM entry_states s
        WHERE s.profile_id = ANY(CAST(:ids AS uuid[])) AND s.due_at IS NOT NULL
    ) b GROUP BY b.profile_id
""").columns(profile_id=_ID)


async def unrouted_since(connection: AsyncConnection, profile_ids: Iterable[str]) -> dict[str, datetime]:
    """When the first event occurred that is not routed yet, or the first settling ends that is not judged,
    of the profiles that have any."""
    result = await connection.execute(_BEHIND, {"ids": sorted(set(profile_ids))})
    return {row.profile_id: row.at for row in result}
