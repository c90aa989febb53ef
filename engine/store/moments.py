"""Moments: how far each journey was looked at, and the SQL that finds who crosses a line.

A journey's row is the watermark. Whoever looks holds it for one slice at a time: the events that a slice
records and the new watermark are one transaction. Of two that look at once, one finds the row held.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.expressions.sql import Column
from engine.store import batch, events
from engine.store.events import Event

FIRST: Final = "00000000-0000-0000-0000-000000000000"
LAST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_UUID = sa.Uuid(as_uuid=False)


@dataclass(frozen=True, slots=True)
class Tick:
    """A journey's watermark. `after` and `until` are set while a long stretch is looked at in slices."""

    journey: str
    ticked_until: datetime
    digest: str | None
    after: str | None
    until: datetime | None
    recorded: int
    looked_at: datetime | None


_TYPES: Final[dict[str, Any]] = {"after": _UUID}
_READ = f"SELECT {batch.columns(Tick)} FROM moment_ticks"
_HOLD = sa.text(f"{_READ} WHERE journey = :journey FOR UPDATE SKIP LOCKED").columns(**_TYPES)


async def begin(connection: AsyncConnection, journeys: Collection[str], at: datetime) -> None:
    """Journeys that were not looked at so far are looked at from the logical instant `at` on."""
    await connection.execute(
        sa.text("""
            INSERT INTO moment_ticks (journey, ticked_until) SELECT unnest(CAST(:journeys AS text[])), :at
            ON CONFLICT (journey) DO NOTHING
        """),
        {"journeys": sorted(journeys), "at": at},
    )


async def forget(connection: AsyncConnection, journeys: Collection[str]) -> None:
    """These journeys are no longer looked at."""
    await connection.execute(
        sa.text("DELETE FROM moment_ticks WHERE journey = ANY(CAST(:journeys AS text[]))"),
        {"journeys": sorted(journeys)},
    )


async def hold(connection: AsyncConnection, journey: str) -> Tick | None:
    """A journey's watermark, nobody else's until the transaction ends; None if there is none, or somebody
    has it."""
    row = (await connection.execute(_HOLD, {"journey": journey})).mappings().one_or_none()
    return None if row is None else batch.build(Tick, row)


async def advance(
    connection: AsyncConnection,
    journey: str,
    digest: str,
    ticked_until: datetime,
    *,
    after: str | None = None,
    until: datetime | None = None,
    recorded: int = 0,
) -> None:
    """Moves the watermark that the caller holds."""
    await connection.execute(
        sa.text("""
            UPDATE moment_ticks SET ticked_until = :ticked_until, digest = :digest,
                after = CAST(:after AS uuid), until = :until, recorded = recorded + :recorded,
                looked_at = now()
            WHERE journey = :journey
        """),
        {
            "journey": journey,
            "digest": digest,
            "ticked_until": ticked_until,
            "after": after,
            "until": until,
            "recorded": recorded,
        },
    )


async def standing(connection: AsyncConnection) -> dict[str, Tick]:
    """Every journey that is looked at, by name."""
    result = await connection.execute(sa.text(f"{_READ} ORDER BY journey").columns(**_TYPES))
    return {row["journey"]: batch.build(Tick, row) for row in result.mappings()}


# --- quiet ----------------------------------------------------------------------------------------------


def literal(text: str) -> str:
    """A text written out in a statement: an index for one name only is found by no parameter."""
    escaped = text.replace("'", "''").replace(":", "' || chr(58) || '")  # no name of a parameter
    return f"('{escaped}')"


async def quiet_since(
    connection: AsyncConnection,
    name: str,
    length: timedelta,
    after: tuple[datetime, str],
    until: datetime,
    limit: int,
    *,
    newest: bool,
) -> tuple[list[Event], tuple[datetime, str] | None]:
    """Events of this name since which `length` has passed by `until`, and where a full slice ended.

    Args:
        after: the instant at which the line was crossed, and the event's id, of the last one seen.
        newest: only those that no other event of the name has followed by then.
    """
    followed = f"""AND NOT EXISTS (
        SELECT 1 FROM events n WHERE n.profile_id = e.profile_id AND n.name = {literal(name)}
        AND (n.occurred_at, n.sequence) > (e.occurred_at, e.sequence)
        AND n.occurred_at <= e.occurred_at + CAST(:length AS interval))"""
    seen = f"""
        SELECT event_id, profile_id, occurred_at, sequence FROM events WHERE name = {literal(name)}
        AND (occurred_at, event_id) > (CAST(:since AS timestamptz), CAST(:after AS uuid))
        AND occurred_at >= CAST(:since AS timestamptz) AND occurred_at <= CAST(:until AS timestamptz)
        ORDER BY occurred_at, event_id LIMIT :limit"""
    result = await connection.execute(
        sa.text(f"""
            WITH seen AS MATERIALIZED ({seen}),
            crossed AS MATERIALIZED (SELECT e.event_id FROM seen e WHERE true {followed if newest else ""})
            SELECT (SELECT array_agg(c.event_id) FROM crossed c) AS crossed, s.n,
                l.occurred_at, l.event_id
            FROM (SELECT count(*) AS n FROM seen) s LEFT JOIN LATERAL (
                SELECT occurred_at, event_id FROM seen ORDER BY occurred_at DESC, event_id DESC LIMIT 1
            ) l ON true
        """),
        {
            "since": after[0] - length,
            "after": after[1],
            "until": until - length,
            "limit": limit,
        }
        | ({"length": length} if newest else {}),
    )
    row = result.one()
    found = await events.get_batch(connection, [str(each) for each in row.crossed or ()])
    ordered = sorted(found.values(), key=lambda event: (event.occurred_at, event.sequence))
    end = (row.occurred_at + length, str(row.event_id)) if row.n >= limit else None
    return ordered, end


# --- dates ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dated:
    """A customer with the value of an attribute: JSON, or a date or instant if it is computed."""

    profile_id: str
    key: str
    time_zone: str | None
    value: Any


def day_of(text: str, every: str) -> str:
    """Of a date as text what tells the days on which it comes round: `MM-DD`, `DD`, or all of it."""
    return {"year": f"substr({text}, 6, 5)", "month": f"substr({text}, 9, 2)"}.get(every, f"left({text}, 10)")


def attribute_text(name: str) -> str:
    """The SQL of an attribute's text."""
    return f"(attributes ->> {literal(name)})"


async def dated(
    connection: AsyncConnection,
    attribute: str,
    every: str,
    days: Sequence[str],
    zones: Sequence[tuple[str, str]] | None,
    after: str,
    limit: int,
    computed: Column | None = None,
) -> list[Dated]:
    """Customers whose date may come round on one of these `days`, by id.

    Args:
        days: as `day_of` gives them.
        zones: only these (time zone, day); an empty zone is that of customers who have none.
        computed: the attribute's SQL, where it is computed: then everybody is looked at.
    """
    if computed is None:
        text = attribute_text(attribute)
        found = f"""
            SELECT id, key, time_zone, attributes -> {literal(attribute)} AS value,
                {day_of(text, every)} AS day
            FROM profiles WHERE {day_of(text, every)} = ANY(CAST(:days AS text[]))
            AND merged_into IS NULL AND id > CAST(:after AS uuid)"""
        parameters: dict[str, Any] = {}
    else:
        text = "to_char(v.value AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
        found = f"""
            SELECT v.id, v.key, v.time_zone, v.value, {day_of(text, every)} AS day
            FROM (SELECT p.id, p.key, p.time_zone, {computed.sql} AS value FROM profiles p {computed.joins}
                WHERE p.merged_into IS NULL AND p.id > CAST(:after AS uuid)) v
            WHERE {day_of(text, every)} = ANY(CAST(:days AS text[]))"""
        parameters = dict(computed.parameters)
    pairs = ""
    if zones is not None:
        pairs = """WHERE (coalesce(d.time_zone, ''), d.day) IN (
            SELECT z, y FROM unnest(CAST(:zones AS text[]), CAST(:of_zones AS text[])) AS r(z, y))"""
        parameters |= {"zones": [zone for zone, _ in zones], "of_zones": [day for _, day in zones]}
    result = await connection.execute(
        sa.text(f"""
            WITH d AS MATERIALIZED ({found})
            SELECT d.id, d.key, d.time_zone, d.value FROM d {pairs} ORDER BY d.id LIMIT :limit
        """).columns(id=_UUID, **({} if computed is not None else {"value": JSONB})),
        parameters | {"days": list(days), "after": after, "limit": limit},
    )
    return [Dated(row.id, row.key, row.time_zone, row.value) for row in result]


async def keys_before(connection: AsyncConnection, profile_ids: Collection[str]) -> dict[str, list[str]]:
    """The keys of profiles that were merged into these."""
    result = await connection.execute(
        sa.text("""
            SELECT m.survivor, p.key FROM merges m JOIN profiles p ON p.id = m.loser
            WHERE m.survivor = ANY(CAST(:ids AS uuid[])) AND m.undone_at IS NULL
        """).columns(survivor=_UUID),
        {"ids": sorted(profile_ids)},
    )
    found: dict[str, list[str]] = {}
    for row in result:
        found.setdefault(row.survivor, []).append(row.key)
    return found
