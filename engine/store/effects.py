"""Effects: the record of work that is no message (`update webhook ad_audience enter action`), one row a step.

The same order of states, and the same rule of `attempts`, as `engine.store.deliveries`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch


class EffectKey(NamedTuple):
    enrolment_id: str
    step: str


@dataclass(frozen=True, slots=True)
class NewEffect:
    """An effect to claim. `key` is `engine.core.identity.delivery_key`, `at` the step's logical instant.

    `calls`: it leaves our database, so that its row says `sending` from the claim on.
    """

    enrolment_id: str
    step: str
    verb: str
    key: str
    at: datetime
    calls: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect as stored. `state` is one of `engine.store.tables.EFFECT_STATES`."""

    enrolment_id: str
    step: str
    verb: str
    state: str
    answer: Any = field(repr=False)
    error: str | None
    key: str
    owner: str | None
    attempts: int
    at: datetime
    created_at: datetime
    claimed_at: datetime | None
    sending_at: datetime | None
    settled_at: datetime | None

    @property
    def row_key(self) -> EffectKey:
        return EffectKey(self.enrolment_id, self.step)


@dataclass(frozen=True, slots=True)
class EffectClaims:
    """`mine`: claimed by this call. `others`: rows that are settled or under way, as they stand."""

    mine: dict[EffectKey, Effect]
    others: dict[EffectKey, Effect]


_ID = sa.Uuid(as_uuid=False)
_TYPES: dict[str, Any] = {"enrolment_id": _ID, "answer": JSONB}
_COLUMNS = batch.columns(Effect, "e")
_KEY = {"enrolment_id": "uuid", "step": "text"}
_SAME_ROW = "e.enrolment_id = r.enrolment_id AND e.step = r.step"

_CLAIM = sa.text(f"""
    INSERT INTO effects AS e (enrolment_id, step, verb, key, state, attempts, owner, claimed_at, sending_at,
                              at)
    SELECT enrolment_id, step, verb, key, CASE WHEN calls THEN 'sending' ELSE 'claimed' END, 1, :owner, now(),
        CASE WHEN calls THEN now() END, at
    FROM {batch.records(**_KEY, verb="text", key="text", at="timestamptz", calls="boolean")}
    ORDER BY enrolment_id, step
    ON CONFLICT (enrolment_id, step) DO UPDATE SET
        state = excluded.state, attempts = e.attempts + 1, owner = :owner, claimed_at = now(),
        sending_at = excluded.sending_at
        WHERE e.state = 'claimed' OR (e.state = 'sending' AND :repeat)
    RETURNING {_COLUMNS}
""").columns(**_TYPES)


async def claim_batch(
    connection: AsyncConnection, new: Sequence[NewEffect], owner: str, *, repeat: bool = False
) -> EffectClaims:
    """Claims effects for the worker `owner`; rows that were only `claimed` are taken over. Commit before
    any call is made.

    `repeat` takes over those under way too: for calls that carry their key, so that twice is once.
    """
    unique = {EffectKey(n.enrolment_id, n.step): n for n in new}
    if not unique:
        return EffectClaims({}, {})
    values = [{name: getattr(n, name) for name in NewEffect.__slots__} for n in unique.values()]
    result = await connection.execute(_CLAIM, batch.rows(values) | {"owner": owner, "repeat": repeat})
    mine = {e.row_key: e for e in (batch.build(Effect, row) for row in result.mappings())}
    return EffectClaims(mine, await get_batch(connection, [key for key in unique if key not in mine]))


@dataclass(frozen=True, slots=True)
class EffectSettlement:
    """How an effect came out: `done` (with `answer`), `skipped`, `failed` or `unknown` (with `error`)."""

    key: EffectKey
    attempts: int
    state: str
    answer: Any = field(default=None, repr=False)
    error: str | None = None


async def settle_batch(
    connection: AsyncConnection, settlements: Sequence[EffectSettlement]
) -> set[EffectKey]:
    """Writes how effects came out. Returns the keys settled; the others were settled or taken before."""
    return await _update(
        connection,
        f"""UPDATE effects e SET state = r.state, answer = r.answer, error = r.error, settled_at = now()
            FROM {batch.records(**_KEY, attempts="integer", state="text", answer="jsonb", error="text")}
            WHERE {_SAME_ROW} AND e.state IN ('claimed', 'sending') AND e.attempts = r.attempts""",
        [
            {
                **s.key._asdict(),
                "attempts": s.attempts,
                "state": s.state,
                "answer": s.answer,
                "error": s.error,
            }
            for s in settlements
        ],
    )


async def stale(connection: AsyncConnection, dead_after: timedelta, limit: int = 1000) -> list[Effect]:
    """Open effects whose owner has not been seen for `dead_after` (wall time), oldest claim first."""
    return await _select(
        connection,
        """WHERE e.state IN ('claimed', 'sending') AND e.claimed_at < now() - CAST(:dead AS interval)
            AND NOT EXISTS (SELECT 1 FROM workers w
                            WHERE w.id = e.owner AND w.seen_at > now() - CAST(:dead AS interval))
            ORDER BY e.claimed_at LIMIT :limit""",
        {"dead": dead_after, "limit": limit},
    )


async def get_batch(connection: AsyncConnection, keys: Iterable[EffectKey]) -> dict[EffectKey, Effect]:
    """Effects by key; unknown keys are left out."""
    wanted = [key._asdict() for key in keys]
    if not wanted:
        return {}
    statement = sa.text(f"SELECT {_COLUMNS} FROM {batch.records(**_KEY)} JOIN effects e ON {_SAME_ROW}")
    result = await connection.execute(statement.columns(**_TYPES), batch.rows(wanted))
    return {e.row_key: e for e in (batch.build(Effect, row) for row in result.mappings())}


async def of_enrolments(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, list[Effect]]:
    """Effects of each enrolment, in logical order."""
    found: dict[str, list[Effect]] = {}
    for e in await _select(
        connection,
        "WHERE e.enrolment_id = ANY(CAST(:ids AS uuid[])) ORDER BY e.at, e.created_at, e.step",
        {"ids": sorted(set(ids))},
    ):
        found.setdefault(e.enrolment_id, []).append(e)
    return found


async def _update(
    connection: AsyncConnection, statement: str, values: list[dict[str, Any]]
) -> set[EffectKey]:
    if not values:
        return set()
    returning = sa.text(f"{statement} RETURNING e.enrolment_id, e.step").columns(enrolment_id=_ID)
    result = await connection.execute(returning, batch.rows(values))
    return {EffectKey(row.enrolment_id, row.step) for row in result}


async def _select(connection: AsyncConnection, rest: str, values: dict[str, Any]) -> list[Effect]:
    statement = sa.text(f"SELECT {_COLUMNS} FROM effects e {rest}").columns(**_TYPES)
    result = await connection.execute(statement, values)
    return [batch.build(Effect, row) for row in result.mappings()]
