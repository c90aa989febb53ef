"""What entry remembers for each (journey, profile, `one_per` value): rows of `EntryState`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.identity import one_per_text
from engine.core.inputs import EntryState
from engine.store import batch
from engine.store.shards import shard_of


class EntryKey(NamedTuple):
    """`one_per` is `engine.core.identity.one_per_text` of the value; the same for null and for none."""

    journey: str
    profile_id: str
    one_per: str


_ID = sa.Uuid(as_uuid=False)
_COLUMNS = """s.journey, s.profile_id, s.one_per, s.pending_id, s.pending_at, s.pending_order, s.due_at,
    s.live_id, s.entered_at, s.entered, s.ended_at, s.contested"""
_TYPES: dict[str, Any] = {"profile_id": _ID, "pending_id": _ID, "live_id": _ID, "contested": JSONB}

_LOAD = sa.text(f"""
    SELECT {_COLUMNS} FROM {batch.records(journey="text", profile_id="uuid", one_per="text")}
    JOIN entry_states s
        ON s.journey = r.journey AND s.profile_id = r.profile_id AND s.one_per = r.one_per
    ORDER BY s.journey, s.profile_id, s.one_per
    FOR UPDATE OF s
""").columns(**_TYPES)


async def load(connection: AsyncConnection, keys: Iterable[EntryKey]) -> dict[EntryKey, EntryState]:
    """The state of each key, locked until the transaction ends; a fresh one where there is no row."""
    wanted = list(dict.fromkeys(keys))
    found = {key: EntryState() for key in wanted}
    if wanted:
        result = await connection.execute(_LOAD, batch.rows([key._asdict() for key in wanted]))
        found |= {_key(row): _state(row) for row in result.mappings()}
    return found


_CROWDS = sa.text(f"""
    SELECT e.journey, e.profile_id, e.one_per, max(e.entered_at) AS entered_at, max(e.ended_at) AS ended_at,
        count(*) AS entered, (array_agg(e.id) FILTER (WHERE e.status = 'live'))[1] AS live_id,
        bool_or(e.id = r.live_id AND e.status = 'ended') AS has_ended
    FROM {batch.records(journey="text", profile_id="uuid", one_per="text", live_id="uuid")}
    CROSS JOIN LATERAL (SELECT * FROM enrolments WHERE profile_id = r.profile_id OFFSET 0) e
    WHERE e.journey = r.journey AND e.one_per = r.one_per AND e.trigger_event_id IS NULL
        AND r.journey IN (SELECT journey FROM crowds)
    GROUP BY e.journey, e.profile_id, e.one_per
""").columns(profile_id=_ID, live_id=_ID)
_NO_VALUE = one_per_text(None)


class WithCrowds(NamedTuple):
    """`ended`: when the enrolment ended that a state holds for live: its end need not come as an event."""

    states: dict[EntryKey, EntryState]
    ended: dict[EntryKey, datetime]


async def with_crowds(
    connection: AsyncConnection, states: Mapping[EntryKey, EntryState], wanted: Iterable[EntryKey]
) -> WithCrowds:
    """The states, those `wanted` with what crowds did: who enters in a crowd leaves an enrolment and no
    state."""
    found = WithCrowds(dict(states), {})
    asked = [
        {**key._asdict(), "live_id": states[key].live_id if key in states else None}
        for key in set(wanted)
        if key.one_per == _NO_VALUE
    ]
    if not asked:
        return found
    for row in (await connection.execute(_CROWDS, batch.rows(asked))).mappings():
        key = _key(row)
        before = found.states.get(key) or EntryState()
        if row["has_ended"] and row["live_id"] is None:
            found.ended[key] = row["ended_at"]
        found.states[key] = replace(
            before,
            live_id=row["live_id"] or before.live_id,
            entered_at=_later(before.entered_at, row["entered_at"]),
            entered=max(before.entered, row["entered"]),
            ended_at=_later(before.ended_at, row["ended_at"]),
        )
    return found


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


_SAVE = sa.text(f"""
    INSERT INTO entry_states (journey, profile_id, one_per, shard, pending_id, pending_at, pending_order,
                              due_at, live_id, entered_at, entered, ended_at, contested)
    SELECT journey, profile_id, one_per, shard, pending_id, pending_at, pending_order,
           due_at, live_id, entered_at, entered, ended_at, contested
    FROM {
    batch.records(
        journey="text",
        profile_id="uuid",
        one_per="text",
        shard="smallint",
        pending_id="uuid",
        pending_at="timestamptz",
        pending_order="bigint",
        due_at="timestamptz",
        live_id="uuid",
        entered_at="timestamptz",
        entered="integer",
        ended_at="timestamptz",
        contested="jsonb",
    )
}
    ORDER BY journey, profile_id, one_per
    ON CONFLICT (journey, profile_id, one_per) DO UPDATE SET
        pending_id = excluded.pending_id, pending_at = excluded.pending_at,
        pending_order = excluded.pending_order, due_at = excluded.due_at, live_id = excluded.live_id,
        entered_at = excluded.entered_at, entered = excluded.entered,
        ended_at = excluded.ended_at, contested = excluded.contested
""")


async def save(connection: AsyncConnection, states: Mapping[EntryKey, EntryState]) -> None:
    """Writes the states over what is there."""
    if not states:
        return
    values = [
        {
            **key._asdict(),
            "shard": shard_of(key.profile_id),
            "pending_id": state.pending_id,
            "pending_at": state.pending_at,
            "pending_order": state.pending_order,
            "due_at": state.due_at,
            "live_id": state.live_id,
            "entered_at": state.entered_at,
            "entered": state.entered,
            "ended_at": state.ended_at,
            "contested": [[i, occurred.isoformat(), at.isoformat()] for i, occurred, at in state.contested],
        }
        for key, state in states.items()
    ]
    await connection.execute(_SAVE, batch.rows(values))


_AWAITED = sa.text("""
    SELECT live_id FROM entry_states
    WHERE profile_id = ANY(CAST(:profiles AS uuid[])) AND live_id = ANY(CAST(:ids AS uuid[]))
""").columns(live_id=_ID)


async def awaited(connection: AsyncConnection, live: Sequence[tuple[str, str]]) -> set[str]:
    """Of enrolments (id, profile) those whose end an entry state waits for."""
    if not live:
        return set()
    values = {"ids": [i for i, _ in live], "profiles": [profile for _, profile in live]}
    return {row.live_id for row in await connection.execute(_AWAITED, values)}


_DUE = sa.text("""
    SELECT e.* FROM unnest(CAST(:shards AS smallint[]), CAST(:until AS timestamptz[])) AS s(shard, until)
    CROSS JOIN LATERAL (
        SELECT journey, profile_id, one_per FROM entry_states WHERE shard = s.shard AND due_at <= s.until
        ORDER BY due_at, journey, profile_id LIMIT :limit
    ) AS e
""").columns(profile_id=_ID)


async def due(connection: AsyncConnection, until: Mapping[int, datetime], limit: int) -> list[EntryKey]:
    """Keys of each shard whose pending entry is due at or before the shard's logical instant.

    No more than `limit` of a shard: its earliest.
    """
    values = {"shards": list(until), "until": list(until.values()), "limit": limit}
    return [_key(row) for row in (await connection.execute(_DUE, values)).mappings()]


async def due_shards(connection: AsyncConnection, now: datetime) -> list[int]:
    """Shards with a pending entry that is due."""
    result = await connection.execute(
        sa.text("SELECT DISTINCT shard FROM entry_states WHERE due_at <= :now ORDER BY shard"), {"now": now}
    )
    return [int(row.shard) for row in result]


async def next_due(connection: AsyncConnection) -> datetime | None:
    """The earliest logical instant at which a pending entry is due; None if none is pending."""
    value = await connection.execute(sa.text("SELECT min(due_at) FROM entry_states WHERE due_at IS NOT NULL"))
    found: datetime | None = value.scalar_one()
    return found


_PENDING = sa.text(f"""
    SELECT {_COLUMNS} FROM entry_states s
    WHERE s.profile_id = ANY(CAST(:ids AS uuid[])) AND s.due_at IS NOT NULL
    ORDER BY s.journey, s.profile_id, s.one_per FOR UPDATE
""").columns(**_TYPES)


async def pending_for_profiles(
    connection: AsyncConnection, profile_ids: Iterable[str]
) -> dict[EntryKey, EntryState]:
    """States of these profiles that have a pending entry, locked until the transaction ends."""
    result = await connection.execute(_PENDING, {"ids": sorted(set(profile_ids))})
    return {_key(row): _state(row) for row in result.mappings()}


async def count_missed(connection: AsyncConnection, missed: Sequence[tuple[str, date, str]]) -> None:
    """Adds one to the missed entries of each (journey, logical day, reason), for example
    `missed_while_paused`."""
    counts: dict[tuple[str, date, str], int] = {}
    for key in missed:
        counts[key] = counts.get(key, 0) + 1
    if counts:
        values = [
            {"journey": j, "day": d, "reason": r, "missed": n} for (j, d, r), n in sorted(counts.items())
        ]
        fields = batch.records(journey="text", day="date", reason="text", missed="bigint")
        await connection.execute(
            sa.text(f"""
                INSERT INTO missed_entries (journey, day, reason, missed)
                SELECT journey, day, reason, missed FROM {fields}
                ON CONFLICT (journey, day, reason)
                DO UPDATE SET missed = missed_entries.missed + excluded.missed
            """),
            batch.rows(values),
        )


async def missed(connection: AsyncConnection, journey: str) -> dict[str, int]:
    """How many entries a journey missed, by reason."""
    result = await connection.execute(
        sa.text("SELECT reason, sum(missed) AS n FROM missed_entries WHERE journey = :j GROUP BY reason"),
        {"j": journey},
    )
    return {row.reason: int(row.n) for row in result}


def _key(row: sa.RowMapping) -> EntryKey:
    return EntryKey(row["journey"], row["profile_id"], row["one_per"])


def _state(row: sa.RowMapping) -> EntryState:
    return EntryState(
        pending_id=row["pending_id"],
        pending_at=row["pending_at"],
        pending_order=row["pending_order"],
        due_at=row["due_at"],
        live_id=row["live_id"],
        entered_at=row["entered_at"],
        entered=row["entered"],
        ended_at=row["ended_at"],
        contested=tuple(
            (i, datetime.fromisoformat(occurred), datetime.fromisoformat(at))
            for i, occurred, at in row["contested"]
        ),
    )
