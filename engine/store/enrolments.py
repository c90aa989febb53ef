"""Enrolments: one profile's way through one plan, from entry to exit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect

from engine.core.inputs import Exit
from engine.store import batch, pool
from engine.store.profiles import Profile, surviving
from engine.store.shards import shard_of


def entry_month(entered_at: datetime) -> date:
    """The first day of the month of entry, in UTC: part of the key of every delivery."""
    return entered_at.astimezone(UTC).date().replace(day=1)


@dataclass(slots=True)
class Enrolment:
    """An enrolment as stored. `entered_at`, `ended_at`, `converted_at` are logical."""

    id: str
    journey: str
    digest: str
    profile_id: str
    profile_key: str
    one_per: str
    trigger_event_id: str | None
    trigger: dict[str, Any] = field(repr=False)
    holdout: bool
    entered_at: datetime
    driver: str = "workflow"
    workflow_id: str | None = None
    status: str = "live"
    exit: str | None = None
    exit_detail: str | None = None
    ended_at: datetime | None = None
    converted_at: datetime | None = None
    answers: dict[str, Any] = field(default_factory=dict, repr=False)
    variants: dict[str, str] = field(default_factory=dict)
    moved_by: str | None = None
    step: str | None = None
    created_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def entry_month(self) -> date:
        return entry_month(self.entered_at)


@dataclass(slots=True)
class End:
    """How an enrolment ended, at the logical instant `at`, and what else its row is to say of its way."""

    enrolment_id: str
    exit: Exit
    at: datetime
    detail: str | None = None
    moved_by: str | None = None
    variants: Mapping[str, str] | None = None
    """All that it took: what was told ahead and never taken goes. None leaves what is there."""


_ID = sa.Uuid(as_uuid=False)
_TYPES: dict[str, Any] = {
    "id": _ID,
    "profile_id": _ID,
    "trigger_event_id": _ID,
    "moved_by": _ID,
    "trigger": JSONB,
    "answers": JSONB,
    "variants": JSONB,
}
_COLUMNS = batch.columns(Enrolment)

_INSERT = sa.text(f"""
    INSERT INTO enrolments (id, journey, digest, profile_id, profile_key, shard, one_per, trigger_event_id,
                            trigger, holdout, entered_at, entry_month, driver, workflow_id, variants, step)
    SELECT id, journey, digest, profile_id, profile_key, shard, one_per, trigger_event_id,
           trigger, holdout, entered_at, entry_month, driver, workflow_id, variants, step
    FROM {
    batch.records(
        id="uuid",
        journey="text",
        digest="text",
        profile_id="uuid",
        profile_key="text",
        shard="smallint",
        one_per="text",
        trigger_event_id="uuid",
        trigger="jsonb",
        holdout="boolean",
        entered_at="timestamptz",
        entry_month="date",
        driver="text",
        workflow_id="text",
        variants="jsonb",
        step="text",
    )
}
    ON CONFLICT DO NOTHING
    RETURNING id
""")


async def insert_batch(connection: AsyncConnection, new: Sequence[Enrolment]) -> set[str]:
    """Writes new enrolments; returns the ids of those written.

    One that exists, or whose customer is live in the journey with the same `one_per`, is left out. End the
    superseded (`end_batch`) before.
    """
    if not new:
        return set()
    values = [
        {
            "id": e.id,
            "journey": e.journey,
            "digest": e.digest,
            "profile_id": e.profile_id,
            "profile_key": e.profile_key,
            "shard": shard_of(e.profile_id),
            "one_per": e.one_per,
            "trigger_event_id": e.trigger_event_id,
            "trigger": e.trigger,
            "holdout": e.holdout,
            "entered_at": e.entered_at,
            "entry_month": e.entry_month,
            "driver": e.driver,
            "workflow_id": e.workflow_id,
            "variants": e.variants,
            "step": e.step,
        }
        for e in new
    ]
    return {str(row.id) for row in await connection.execute(_INSERT, batch.rows(values))}


async def get_batch(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Enrolment]:
    """Enrolments by id; unknown ids are left out."""
    found = await _select(connection, "WHERE id = ANY(CAST(:ids AS uuid[]))", {"ids": list(set(ids))})
    return {e.id: e for e in found}


_PROFILE_FIELDS = [one.name for one in fields(Profile)]
_WITH_PROFILES = sa.text(f"""
    SELECT {batch.columns(Enrolment, "e")}, {", ".join(f"p.{name} AS p_{name}" for name in _PROFILE_FIELDS)}
    FROM enrolments e LEFT JOIN profiles p ON p.id = e.profile_id WHERE e.id = ANY(CAST(:ids AS uuid[]))
""").columns(**_TYPES, p_id=_ID, p_merged_into=_ID, p_addresses=JSONB, p_attributes=JSONB)


async def with_profiles(
    connection: AsyncConnection, ids: Iterable[str]
) -> dict[str, tuple[Enrolment, Profile]]:
    """Enrolments by id, each with the profile that lives on, also after a merge; unknown ids are left out.

    Of somebody who was erased the profile is one of which nothing is known.
    """
    result = await connection.execute(_WITH_PROFILES, {"ids": list(set(ids))})
    # By place: a batch has a thousand of these, and names cost more than all else.
    size = len(fields(Enrolment))
    read = [(Enrolment(*row[:size]), _profile(row, size)) for row in map(tuple, result)]
    found = {row.id: (row, profile) for row, profile in read}
    merged = {profile.id for _, profile in found.values() if profile.merged_into is not None}
    if merged:
        into = await surviving(connection, merged)
        found = {i: (row, into.get(profile.id, profile)) for i, (row, profile) in found.items()}
    return found


def _profile(row: tuple[Any, ...], size: int) -> Profile:
    if row[size] is not None:
        return Profile(*row[size:])
    own = Enrolment(*row[:size])
    at = own.created_at or own.entered_at
    return Profile(own.profile_id, own.profile_key, None, {}, {}, [], None, None, None, None, at, at, None)


async def live_for_profiles(
    connection: AsyncConnection, profile_ids: Iterable[str], journeys: Iterable[str] | None = None
) -> list[Enrolment]:
    """Live enrolments of these profiles, oldest entry first."""
    values: dict[str, Any] = {"ids": sorted(set(profile_ids))}
    clause = ""
    if journeys is not None:
        clause, values["journeys"] = "AND journey = ANY(CAST(:journeys AS text[]))", sorted(set(journeys))
    return await _select(
        connection,
        f"WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND status = 'live' {clause} ORDER BY entered_at, id",
        values,
    )


async def settled_live(
    connection: AsyncConnection, older_than: timedelta, after: str, limit: int
) -> list[tuple[str, str]]:
    """Live enrolments (id, workflow id) by id after `after`, made longer ago than this (wall), with nothing
    left to play."""
    result = await connection.execute(
        sa.text("""
            SELECT e.id, e.workflow_id FROM enrolments e
            WHERE e.status = 'live' AND e.driver = 'workflow' AND e.workflow_id IS NOT NULL
            AND e.created_at < now() - CAST(:age AS interval)
            AND e.id > CAST(:after AS uuid)
            AND NOT EXISTS (SELECT 1 FROM start_outbox o WHERE o.done_at IS NULL
                            AND o.workflow_id = e.workflow_id)
            ORDER BY e.id LIMIT :limit
        """).columns(id=_ID),
        {
            "age": older_than,
            "after": after or "00000000-0000-0000-0000-000000000000",
            "limit": limit,
        },
    )
    return [(row.id, row.workflow_id) for row in result]


async def convertible(
    connection: AsyncConnection, profile_ids: Iterable[str], since: datetime
) -> list[Enrolment]:
    """Enrolments of these profiles, live or ended, entered at or after `since`, that have not converted."""
    return await _select(
        connection,
        "WHERE profile_id = ANY(CAST(:ids AS uuid[])) AND converted_at IS NULL AND entered_at >= :since "
        "ORDER BY entered_at, id",
        {"ids": sorted(set(profile_ids)), "since": since},
    )


_END = sa.text(f"""
    UPDATE enrolments e
    SET status = 'ended', exit = r.exit, exit_detail = r.detail, ended_at = r.at, closed_at = now(),
        step = NULL, moved_by = coalesce(r.moved_by, e.moved_by), variants = coalesce(r.variants, e.variants)
    FROM {
    batch.records(id="uuid", exit="text", detail="text", at="timestamptz", moved_by="uuid", variants="jsonb")
}
    WHERE e.id = r.id AND (e.status = 'live' OR (e.exit = 'superseded' AND (
        r.at < e.ended_at OR (r.at = e.ended_at AND r.exit <> 'superseded'))))
    RETURNING {batch.columns(Enrolment, "e")}
""").columns(**_TYPES)


async def end_batch(connection: AsyncConnection, ends: Sequence[End]) -> dict[str, Enrolment]:
    """Ends live enrolments; returns those that were live, by id, as they stand now.

    The first exit is not rewritten, but for one: `superseded` is written before the enrolment knows of it,
    so an end that turns out to be earlier counts, also one that came first at the same instant.
    """
    first = {end.enrolment_id: end for end in reversed(ends)}
    if not first:
        return {}
    values = [
        {
            "id": e.enrolment_id,
            "exit": e.exit,
            "detail": e.detail,
            "at": e.at,
            "moved_by": e.moved_by,
            "variants": None if e.variants is None else dict(e.variants),
        }
        for e in first.values()
    ]
    result = await connection.execute(_END, batch.rows(values))
    return {row["id"]: batch.build(Enrolment, row) for row in result.mappings()}


async def set_converted(connection: AsyncConnection, conversions: Sequence[tuple[str, datetime]]) -> None:
    """Notes when each enrolment (id, logical instant) converted; the earliest instant stays."""
    if conversions:
        values = [{"id": i, "at": at} for i, at in conversions]
        await connection.execute(
            sa.text(f"""
                UPDATE enrolments e SET converted_at = least(e.converted_at, r.at)
                FROM (SELECT id, min(at) AS at FROM {batch.records(id="uuid", at="timestamptz")}
                      GROUP BY id) r
                WHERE e.id = r.id
            """),
            batch.rows(values),
        )


@dataclass(slots=True)
class Progress:
    """What moved in a live enrolment. `answers` and `variants` are added to what is there."""

    enrolment_id: str
    step: str | None = None
    moved_by: str | None = None
    answers: dict[str, Any] = field(default_factory=dict, repr=False)
    variants: dict[str, str] = field(default_factory=dict)
    exact: bool = False
    """Whether `variants` are all that it took."""


_PROGRESS = sa.text(f"""
    UPDATE enrolments e SET
        step = CASE WHEN e.status = 'live' THEN coalesce(r.step, e.step) END,
        moved_by = coalesce(r.moved_by, e.moved_by),
        answers = e.answers || r.answers,
        variants = CASE WHEN r.exact THEN r.variants ELSE e.variants || r.variants END
    FROM {
    batch.records(id="uuid", step="text", moved_by="uuid", answers="jsonb", variants="jsonb", exact="boolean")
}
    WHERE e.id = r.id
""")


async def progress_batch(connection: AsyncConnection, moves: Sequence[Progress]) -> None:
    """Writes where enrolments stand. A `step` or `moved_by` of None leaves what is there."""
    if not moves:
        return
    await connection.execute(
        _PROGRESS,
        batch.rows(
            [
                {
                    "id": m.enrolment_id,
                    "step": m.step,
                    "moved_by": m.moved_by,
                    "answers": m.answers,
                    "variants": m.variants,
                    "exact": m.exact,
                }
                for m in moves
            ]
        ),
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which enrolments to list. `exit` names one exit; None means any."""

    journey: str | None = None
    profile_id: str | None = None
    status: str | None = None
    exit: str | None = None
    digest: str | None = None
    holdout: bool | None = None
    driver: str | None = None


async def find(
    connection: AsyncConnection,
    where: Filter,
    *,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> list[Enrolment]:
    """A page of enrolments, last entered first. `after` is (entered_at, id) of the last one seen."""
    clauses, values = [], dict[str, Any](limit=limit)
    for name in ("journey", "profile_id", "status", "exit", "digest", "holdout", "driver"):
        wanted = getattr(where, name)
        if wanted is not None:
            clauses.append(f"{name} = :{name}")
            values[name] = wanted
    if after is not None:
        clauses.append("(entered_at, id) < (:entered_at, CAST(:after_id AS uuid))")
        values |= {"entered_at": after[0], "after_id": after[1]}
    condition = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    found = await _select(connection, f"{condition} ORDER BY entered_at DESC, id DESC LIMIT :limit", values)
    return await with_places(connection, found)


async def with_places(connection: AsyncConnection, found: Sequence[Enrolment]) -> list[Enrolment]:
    """As they are shown to people: where those of the pool stand is in their other rows."""
    places = await pool.places(connection, [e.id for e in found if e.driver == "pool" and e.status == "live"])
    return [
        replace(e, step=places[e.id][0], variants=e.variants | places[e.id][1]) if e.id in places else e
        for e in found
    ]


async def counts_by_digest(connection: AsyncConnection, journeys: Iterable[str]) -> dict[str, dict[str, int]]:
    """How many enrolments are under way: journey to digest to count."""
    result = await connection.execute(
        sa.text(
            "SELECT journey, digest, count(*) AS n FROM enrolments "
            "WHERE status = 'live' AND journey = ANY(CAST(:journeys AS text[])) GROUP BY journey, digest"
        ),
        {"journeys": sorted(set(journeys))},
    )
    counts: dict[str, dict[str, int]] = {}
    for row in result:
        counts.setdefault(row.journey, {})[row.digest] = row.n
    return counts


async def _select(connection: AsyncConnection, rest: str, values: dict[str, Any]) -> list[Enrolment]:
    result = await connection.execute(_selecting(rest), values)
    return [batch.build(Enrolment, row) for row in result.mappings()]


@lru_cache(maxsize=64)  # taking a text apart costs as much as running it
def _selecting(rest: str) -> TextualSelect:
    return sa.text(f"SELECT {_COLUMNS} FROM enrolments {rest}").columns(**_TYPES)
