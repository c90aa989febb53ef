"""What was seen last of memberships and stages, and what changed since.

Every writer says what it believes was there before. Where that is not so any more, nothing is written:
whoever changed it has had the customer looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

Kind = Literal["segment", "stage", "tag"]
Place = tuple[Kind, str]
"""("segment", its name), ("stage", ""), or ("tag", one that a rule keeps)."""

_ROOM: Final = 0x4B44  # "KD"
_UUID = sa.Uuid(as_uuid=False)


@dataclass(frozen=True, slots=True)
class Followed:
    """A segment, the stage or a tag that is followed. `digest` is that of its meaning; `filled`: everybody
    was looked at since it means that. `as_of` is when everybody was looked at last."""

    kind: Kind
    name: str
    digest: str
    filled: bool
    since_at: datetime
    as_of: datetime

    @property
    def place(self) -> Place:
        return (self.kind, self.name)


_LOCK: Final = "(SELECT pg_try_advisory_xact_lock_shared(:room, 0))"


async def standing(connection: AsyncConnection) -> tuple[bool, list[Followed]]:
    """What is followed; and whether nobody is looking at everybody just now, nor will before the end of this
    transaction. (True, []) where nothing is."""
    result = await connection.execute(
        sa.text(f"SELECT {batch.columns(Followed)}, {_LOCK} AS open FROM followed"), {"room": _ROOM}
    )
    rows = result.mappings().all()
    return all(row["open"] for row in rows), [batch.build(Followed, row) for row in rows]


async def followed(connection: AsyncConnection) -> list[Followed]:
    """What is followed, by name."""
    result = await connection.execute(
        sa.text(f"SELECT {batch.columns(Followed)} FROM followed ORDER BY kind, name")
    )
    return [batch.build(Followed, row) for row in result.mappings()]


async def hold(connection: AsyncConnection) -> None:
    """Keeps routers from looking at single customers until `release`, beyond transactions; waits for those
    that are at it, and for another holder."""
    await connection.execute(sa.text("SELECT pg_advisory_lock(:room, 0)"), {"room": _ROOM})


async def release(connection: AsyncConnection) -> None:
    """Undoes `hold`."""
    await connection.execute(sa.text("SELECT pg_advisory_unlock(:room, 0)"), {"room": _ROOM})


async def begin(connection: AsyncConnection, new: Sequence[tuple[Place, str]], at: datetime) -> None:
    """Follows these (place, digest) from now on, or anew in their new meaning: nobody was looked at yet."""
    await connection.execute(
        sa.text(f"""
            INSERT INTO followed AS f (kind, name, digest, filled, since_at, as_of)
            SELECT kind, name, digest, false, :at, :at
            FROM {batch.records(kind="text", name="text", digest="text")}
            ON CONFLICT (kind, name) DO UPDATE SET digest = excluded.digest, filled = false
        """),
        batch.rows([{"kind": kind, "name": name, "digest": digest} for (kind, name), digest in new])
        | {"at": at},
    )


async def filled(connection: AsyncConnection, place: Place, as_of: datetime) -> None:
    """Everybody was looked at as of this instant."""
    await connection.execute(
        sa.text(
            "UPDATE followed SET filled = true, as_of = greatest(as_of, :as_of) "
            "WHERE kind = :kind AND name = :name"
        ),
        {"kind": place[0], "name": place[1], "as_of": as_of},
    )


async def end(connection: AsyncConnection, place: Place) -> None:
    """Follows it no longer; who is in it now is forgotten, its history stays."""
    kind, name = place
    if kind == "segment":
        await connection.execute(sa.text("DELETE FROM memberships WHERE segment = :name"), {"name": name})
    elif kind == "stage":
        await connection.execute(sa.text("DELETE FROM stages"))
    await connection.execute(
        sa.text("DELETE FROM followed WHERE kind = :kind AND name = :name"), {"kind": kind, "name": name}
    )


async def forget(connection: AsyncConnection, place: Place) -> None:
    """Forgets all that is known of it, its history too."""
    kind, name = place
    if kind == "segment":
        await connection.execute(
            sa.text("DELETE FROM membership_changes WHERE segment = :name"), {"name": name}
        )
    elif kind == "stage":
        await connection.execute(sa.text("DELETE FROM stage_changes"))
    await end(connection, place)


async def last_change(connection: AsyncConnection, place: Place) -> datetime | None:
    """The instant of the last change that is known of it."""
    kind, name = place
    if kind == "tag":
        return None
    statement = (
        "SELECT max(at) FROM membership_changes WHERE segment = :name"
        if kind == "segment"
        else "SELECT max(at) FROM stage_changes"
    )
    found = await connection.execute(sa.text(statement), {"name": name} if kind == "segment" else {})
    at: datetime | None = found.scalar_one()
    return at


# --- memberships ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """A profile entered a segment, or left it, at the logical instant `at`."""

    id: int
    segment: str
    profile_id: str
    entered: bool
    at: datetime


def membership_changes(source: str, quiet: str = "false") -> str:
    """Statement that writes changes of memberships: rows `segment, profile_id, entered, at` of `source`.

    Gives back those that were any. `at` is never before the last change of the same membership.
    """
    last = (
        "(SELECT max(c.at) FROM membership_changes c WHERE c.profile_id = {0}.profile_id "
        "AND c.segment = {0}.segment)"
    )
    return f"""
        WITH gone AS (
            DELETE FROM memberships m USING {source} WHERE NOT r.entered
                AND m.segment = r.segment AND m.profile_id = r.profile_id
            RETURNING m.segment, m.profile_id, greatest(r.at, m.since_at) AS at),
        new AS (
            INSERT INTO memberships (segment, profile_id, since_at)
            SELECT r.segment, r.profile_id, greatest(r.at, {last.format("r")}) FROM {source} WHERE r.entered
            ORDER BY r.segment, r.profile_id
            ON CONFLICT (segment, profile_id) DO NOTHING RETURNING segment, profile_id, since_at AS at)
        INSERT INTO membership_changes (segment, profile_id, entered, at, quiet)
        SELECT segment, profile_id, false, at, {quiet} FROM gone
        UNION ALL SELECT segment, profile_id, true, at, {quiet} FROM new
        RETURNING id, segment, profile_id, entered, at"""


_MEMBERSHIPS = sa.text(
    membership_changes(
        batch.records(segment="text", profile_id="uuid", entered="boolean", at="timestamptz"),
        "CAST(:quiet AS boolean)",
    )
).columns(profile_id=_UUID)


async def change_memberships(
    connection: AsyncConnection, changes: Sequence[tuple[str, str, bool, datetime]], *, quiet: bool = False
) -> list[MembershipChange]:
    """Writes (segment, profile, entered, at); gives back those that were changes."""
    if not changes:
        return []
    names = ("segment", "profile_id", "entered", "at")
    result = await connection.execute(
        _MEMBERSHIPS,
        batch.rows([dict(zip(names, each, strict=True)) for each in changes]) | {"quiet": quiet},
    )
    return [batch.build(MembershipChange, row) for row in result.mappings()]


async def memberships(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, dict[str, datetime]]:
    """The followed segments of each profile, and since when; profiles in none are left out."""
    result = await connection.execute(
        sa.text(
            "SELECT profile_id, segment, since_at FROM memberships "
            "WHERE profile_id = ANY(CAST(:ids AS uuid[])) ORDER BY segment"
        ).columns(profile_id=_UUID),
        {"ids": sorted(set(ids))},
    )
    found: dict[str, dict[str, datetime]] = {}
    for row in result:
        found.setdefault(row.profile_id, {})[row.segment] = row.since_at
    return found


# --- stages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StageChange:
    """A profile came into another stage at the logical instant `at`."""

    id: int
    profile_id: str
    before: str | None
    stage: str | None
    at: datetime


def stage_changes(source: str, quiet: str = "false") -> str:
    """Statement that writes changes of the stage: rows `profile_id, had, before, stage, at` of `source`.

    `had` says whether there was a row. Gives back those that were changes still.
    """
    return f"""
        WITH moved AS (
            UPDATE stages s SET stage = r.stage, since_at = greatest(r.at, s.since_at) FROM {source}
            WHERE r.had AND s.profile_id = r.profile_id AND s.stage IS NOT DISTINCT FROM r.before
            RETURNING s.profile_id, r.before, s.stage, s.since_at AS at),
        new AS (
            INSERT INTO stages (profile_id, stage, since_at)
            SELECT r.profile_id, r.stage, r.at FROM {source} WHERE NOT r.had ORDER BY r.profile_id
            ON CONFLICT (profile_id) DO NOTHING RETURNING profile_id, stage, since_at AS at)
        INSERT INTO stage_changes (profile_id, before, stage, at, quiet)
        SELECT profile_id, before, stage, at, {quiet} FROM moved
        UNION ALL SELECT profile_id, CAST(:beginning AS text), stage, at, {quiet} FROM new
        RETURNING id, profile_id, before, stage, at"""


_STAGES = sa.text(
    stage_changes(
        batch.records(profile_id="uuid", had="boolean", before="text", stage="text", at="timestamptz"),
        "CAST(:quiet AS boolean)",
    )
).columns(profile_id=_UUID)


@dataclass(frozen=True, slots=True)
class NewStage:
    """The stage that a profile has now. `had`: there was a row that said `before`."""

    profile_id: str
    had: bool
    before: str | None
    stage: str | None
    at: datetime


async def change_stages(
    connection: AsyncConnection, new: Sequence[NewStage], beginning: str | None, *, quiet: bool = False
) -> list[StageChange]:
    """Writes stages; gives back what changed. `beginning` is the stage of whom nothing was known yet."""
    if not new:
        return []
    values: list[dict[str, Any]] = [{n: getattr(s, n) for n in NewStage.__slots__} for s in new]
    result = await connection.execute(_STAGES, batch.rows(values) | {"beginning": beginning, "quiet": quiet})
    return [batch.build(StageChange, row) for row in result.mappings()]


async def stages(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, tuple[str | None, datetime]]:
    """The stage of each profile as it was seen last, and since when; who never left the first is left out."""
    result = await connection.execute(
        sa.text(
            "SELECT profile_id, stage, since_at FROM stages WHERE profile_id = ANY(CAST(:ids AS uuid[]))"
        ).columns(profile_id=_UUID),
        {"ids": sorted(set(ids))},
    )
    return {row.profile_id: (row.stage, row.since_at) for row in result}


# --- histories ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """A line of a segment's history. `quiet`: it was noted without an event."""

    id: int
    profile_id: str
    external_id: str | None
    entered: bool
    at: datetime
    quiet: bool


async def history(
    connection: AsyncConnection, segment: str, limit: int = 50, after: tuple[datetime, int] | None = None
) -> list[Passage]:
    """Who entered and left a segment, the last first. `after` is (at, id) of the last one seen."""
    values: dict[str, Any] = {"segment": segment, "limit": limit}
    clause = ""
    if after is not None:
        clause = "AND (c.at, c.id) < (:after_at, CAST(:after_id AS bigint))"
        values |= {"after_at": after[0], "after_id": after[1]}
    result = await connection.execute(
        sa.text(f"""
            SELECT c.id, c.profile_id, p.external_id, c.entered, c.at, c.quiet FROM membership_changes c
            LEFT JOIN profiles p ON p.id = c.profile_id
            WHERE c.segment = :segment {clause} ORDER BY c.at DESC, c.id DESC LIMIT :limit
        """).columns(profile_id=_UUID),
        values,
    )
    return [batch.build(Passage, row) for row in result.mappings()]


async def members(connection: AsyncConnection, segment: str) -> int:
    """How many are in a followed segment, as it was seen last."""
    result = await connection.execute(
        sa.text("SELECT count(*) FROM memberships WHERE segment = :segment"), {"segment": segment}
    )
    return int(result.scalar_one())
