"""What providers called us with: kept before they are answered, gone with the work that it made.

written ──▶ waiting ──worked off──▶ gone
             │    ▲ │
  not yet ───┘    │ └──given up, or broken──▶ parked ──forgotten after a while
                  └──────────tried again───────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store import batch, jsonb
from engine.store.tables import HEARD_CHANNEL


@dataclass(frozen=True, slots=True)
class NewHeard:
    """One receipt or one inbound event. `message_id` is the same whenever the provider tells of it."""

    kind: str
    payload: dict[str, Any] = field(repr=False)
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class HeardRow:
    """What is to be worked off. `received_at` is of the wall."""

    id: int
    channel: str
    adapter: str
    kind: str
    message_id: str | None
    payload: dict[str, Any] = field(repr=False)
    received_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of one kind waits or is parked, by reason. `oldest_at` is of the wall."""

    channel: str
    adapter: str
    kind: str
    state: str
    reason: str | None
    count: int
    oldest_at: datetime


_KEEP = f"""
    WITH n AS (
        INSERT INTO heard (channel, adapter, kind, message_id, payload)
        SELECT channel, adapter, kind, message_id, payload::jsonb
        FROM unnest(CAST($1 AS text[]), CAST($2 AS text[]), CAST($3 AS text[]), CAST($4 AS text[]),
                    CAST($5 AS text[])) AS n(channel, adapter, kind, message_id, payload)
        ON CONFLICT (channel, adapter, message_id) WHERE message_id IS NOT NULL DO NOTHING
        RETURNING 1)
    SELECT pg_notify('{HEARD_CHANNEL}', '') FROM n LIMIT 1
"""
IDLE: Final = 0.05
"""Seconds for which a connection is kept after the last call."""
_Row = tuple[str, str, str, str | None, str]


class Keeper:
    """Writes what calls told. Those that come while others are written go together in the next statement, so
    that a flood costs a commit for many."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: list[tuple[list[_Row], asyncio.Future[None]]] = []
        self._come = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, channel: str, adapter: str, new: Sequence[NewHeard]) -> None:
        """Returns once it is committed; whoever works it off is woken.

        What waits or is parked already is not written again. Raises what the database raises.
        """
        if not new:
            return
        rows: list[_Row] = [
            (
                channel,
                adapter,
                each.kind,
                None if each.message_id is None else jsonb.clean_text(each.message_id),
                jsonb.dumps(each.payload),
            )
            for each in new
        ]
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, kept))
        self._come.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await kept

    async def _write(self) -> None:
        try:
            async with self._engine.connect() as connection:
                # Straight to the driver: SQLAlchemy is half of the cost of a statement that commits itself.
                driver: Any = (await connection.get_raw_connection()).driver_connection
                while self._waiting or await self._more():
                    taken, self._waiting = self._waiting, []
                    try:
                        await _keep(driver, [row for rows, _ in taken for row in rows])
                    except Exception:
                        await _one_by_one(driver, taken)
                    else:
                        for _, kept in taken:
                            if not kept.done():
                                kept.set_result(None)
        except BaseException as fault:
            self._writing = None
            taken, self._waiting = self._waiting, []
            for _, kept in taken:
                if not kept.done():
                    kept.set_exception(fault)
            if not isinstance(fault, Exception):
                raise

    async def _more(self) -> bool:
        """Whether another call comes within `IDLE`; the next one after that begins anew."""
        self._come.clear()
        timer = asyncio.get_running_loop().call_later(IDLE, self._come.set)  # cheaper than a time-out
        await self._come.wait()
        timer.cancel()
        if not self._waiting:
            self._writing = None
        return bool(self._waiting)


async def _keep(driver: Any, rows: Sequence[_Row]) -> None:
    await driver.fetch(_KEEP, *map(list, zip(*rows, strict=True)))


async def _one_by_one(driver: Any, taken: Sequence[tuple[list[_Row], asyncio.Future[None]]]) -> None:
    """One of several cannot be written: only that one fails."""
    for rows, kept in taken:
        try:
            await _keep(driver, rows)
        except Exception as fault:
            if not kept.done():
                kept.set_exception(fault)
        else:
            if not kept.done():
                kept.set_result(None)


_COLUMNS = batch.columns(HeardRow)
_TAKE = sa.text(f"""
    SELECT {_COLUMNS} FROM heard WHERE state = 'waiting' AND due_at <= now()
    ORDER BY kind, due_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
""").columns(payload=JSONB)


async def take(connection: AsyncConnection, limit: int) -> list[HeardRow]:
    """The next that are due, held until the transaction ends; what others hold is passed over.

    What people do comes before receipts, which come in floods.
    """
    result = await connection.execute(_TAKE, {"limit": limit})
    return [batch.build(HeardRow, row) for row in result.mappings()]


async def take_one(connection: AsyncConnection, id: int) -> list[HeardRow]:
    """This one, if it still waits and nobody holds it."""
    result = await connection.execute(
        sa.text(f"""SELECT {_COLUMNS} FROM heard WHERE id = :id AND state = 'waiting'
                    FOR UPDATE SKIP LOCKED""").columns(payload=JSONB),
        {"id": id},
    )
    return [batch.build(HeardRow, row) for row in result.mappings()]


async def done(connection: AsyncConnection, ids: Iterable[int]) -> None:
    """What was worked off goes."""
    await connection.execute(
        sa.text("DELETE FROM heard WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": sorted(ids)}
    )


async def put_off(connection: AsyncConnection, waits: Sequence[tuple[int, timedelta, str]]) -> None:
    """Has these (id, how long, why) wait, counting the attempt."""
    if not waits:
        return
    await connection.execute(
        sa.text(f"""
            UPDATE heard h SET due_at = now() + make_interval(secs => r.seconds),
                attempts = attempts + 1, reason = r.reason
            FROM {batch.records(id="bigint", seconds="double precision", reason="text")} WHERE h.id = r.id
        """),
        batch.rows([{"id": i, "seconds": w.total_seconds(), "reason": why} for i, w, why in waits]),
    )


async def park(connection: AsyncConnection, given_up: Sequence[tuple[int, str]]) -> None:
    """Gives these (id, why) up until somebody wants them tried again. Providers' own words go."""
    if not given_up:
        return
    await connection.execute(
        sa.text(f"""
            UPDATE heard h SET state = 'parked', due_at = now(), reason = r.reason,
                payload = CASE WHEN h.kind = 'receipt' THEN h.payload - 'raw' ELSE h.payload END
            FROM {batch.records(id="bigint", reason="text")} WHERE h.id = r.id
        """),
        batch.rows([{"id": i, "reason": why} for i, why in given_up]),
    )


async def seconds_until_due(connection: AsyncConnection) -> float | None:
    """How long until the next one is due; None if nothing waits."""
    result = await connection.execute(
        sa.text("""SELECT extract(epoch FROM min(due_at) - now()) FROM (
                       (SELECT due_at FROM heard WHERE state = 'waiting' AND kind = 'inbound'
                        ORDER BY due_at LIMIT 1)
                       UNION ALL (SELECT due_at FROM heard WHERE state = 'waiting' AND kind = 'receipt'
                        ORDER BY due_at LIMIT 1)) n""")
    )
    found = result.scalar_one_or_none()
    return None if found is None else float(found)


async def standing(connection: AsyncConnection) -> list[Standing]:
    """What waits and what is parked, by channel, kind and reason."""
    result = await connection.execute(
        sa.text("""SELECT channel, adapter, kind, state,
                          CASE WHEN state = 'parked' THEN reason END AS reason,
                          count(*) AS count, min(received_at) AS oldest_at
                   FROM heard GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5""")
    )
    return [Standing(*row) for row in result]


async def parked(
    connection: AsyncConnection, channel: str | None = None, limit: int = 50
) -> list[tuple[HeardRow, str | None]]:
    """What was given up, the latest first, with the reason."""
    result = await connection.execute(
        sa.text(f"""SELECT {_COLUMNS}, reason FROM heard
                    WHERE state = 'parked' AND (CAST(:channel AS text) IS NULL OR channel = :channel)
                    ORDER BY id DESC LIMIT :limit""").columns(payload=JSONB),
        {"channel": channel, "limit": limit},
    )
    return [(batch.build(HeardRow, row), row["reason"]) for row in result.mappings()]


async def again(connection: AsyncConnection, channel: str | None = None, id: int | None = None) -> int:
    """Has parked ones tried again, as if they had just come; how many there are."""
    result = await connection.execute(
        sa.text("""
            WITH n AS (
                UPDATE heard SET state = 'waiting', due_at = now(), attempts = 0
                WHERE state = 'parked' AND (CAST(:channel AS text) IS NULL OR channel = :channel)
                    AND (CAST(:id AS bigint) IS NULL OR id = :id)
                RETURNING 1)
            SELECT count(*), (SELECT pg_notify(:notified, '')) FROM n
        """),
        {"channel": channel, "id": id, "notified": HEARD_CHANNEL},
    )
    return int(result.one()[0])


async def forget_parked(connection: AsyncConnection, older: timedelta) -> None:
    """Forgets what was given up so long ago, by the wall."""
    await connection.execute(
        sa.text("""DELETE FROM heard
                   WHERE state = 'parked' AND due_at < now() - CAST(:older AS interval)"""),
        {"older": older},
    )
