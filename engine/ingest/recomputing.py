"""Everybody looked at anew, as of one instant: what is followed becomes what follows from what is known.

Time alone changes who is in a segment, and so does a new meaning. Customers are compared by the SQL back end
in one query for each definition; only who differs is written, in slices, each with its history and events in
one transaction. Killed between two of them, the next run finds the rest. Routers put off what they would
look at meanwhile, so nobody is written from two sides; whoever changes a profile has it looked at afterwards.

The first time, and after a definition has got another meaning, it is only noted who is in it: nobody did
anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from engine.core.codec import plan_from_json
from engine.core.plan import Plan
from engine.customers.applied import Applied, applied
from engine.customers.followed import Meaning, meaning_of, to_follow
from engine.customers.segments import setting_of
from engine.ingest.heeded import Heeded
from engine.ingest.recording import Internal, record_events, segment_changed, stage_changed
from engine.language.expressions import parse
from engine.language.expressions.sql import Setting, column, condition, conjuncts
from engine.store import clock, derived, journeys, plans, rechecks, recomputing, tags
from engine.store.derived import Followed, Kind, Place
from engine.store.recomputing import SLICE

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

KINDS: Final[tuple[Kind, ...]] = ("tag", "segment", "stage")
"""In the order in which they are worked out: segments and stages may ask for tags that rules keep."""

Wall = Callable[[], datetime]


def _wall() -> datetime:
    return datetime.now(UTC)


class RecomputeError(ValueError):
    """It cannot be computed as of that instant. The text says why."""


@dataclass(slots=True)
class Done:
    """What became of one segment, the stage, or a tag.

    `came`: entered the segment, changed the stage, got the tag; `went`: left it, lost it. `quiet`: noted
    without events.
    """

    place: Place
    came: int = 0
    went: int = 0
    quiet: bool = False


@dataclass(slots=True)
class Recomputed:
    """As of which logical instant, and what became of each."""

    as_of: datetime
    done: list[Done] = field(default_factory=list)


async def recompute(
    database: AsyncEngine,
    kinds: Collection[Kind] = KINDS,
    as_of: datetime | None = None,
    *,
    afresh: bool = False,
    heard: Callable[[Done], None] = lambda done: None,
    wall: Wall = _wall,
) -> Recomputed:
    """Looks at everybody for all that is to be followed, of these kinds.

    Args:
        as_of: a logical instant: only what happened up to it counts, and it is when changes are recorded. Now
            if left out.
        afresh: forgets first what was known, histories too.
        heard: told how far it is, after each slice.
        wall: the wall clock, for tests.

    Raises:
        RecomputeError: the instant is to come, or before what is known already.
    """
    async with _alone(database) as connection:
        now = await _now(connection, wall)
        found = await _applied(connection)
        meaning = meaning_of(found.catalogue)
        if as_of is not None and as_of > now:
            raise RecomputeError(f"{as_of.isoformat()} is to come")
        at = as_of or now
        places = [place for place in await _sync(connection, meaning, at) if place[0] in kinds]
        if afresh:
            await _forget(connection, places, meaning, at)
        elif as_of is not None:
            await _refuse_past(connection, places, as_of)
        return await _all(connection, places, meaning, found, at, heard)


async def follow(database: AsyncEngine, wall: Wall = _wall) -> Recomputed | None:
    """Begins to follow what is to be followed and is not yet, and what has got another meaning; None if that
    is nothing. Quick then: to be called often, and after an apply."""
    async with database.connect() as connection:
        found = await applied(connection)
        meaning = meaning_of(found.catalogue)
        known = await derived.followed(connection)
        wanted = to_follow(meaning, await _live(connection), [each.place for each in known])
        if meaning.standing(known) == wanted and len(known) == len(wanted):
            return None
    async with _alone(database) as connection:
        now = await _now(connection, wall)
        found = await _applied(connection)
        meaning = meaning_of(found.catalogue)
        await _sync(connection, meaning, now)
        new = [each.place for each in await derived.followed(connection) if not each.filled]
        await connection.commit()
        return await _all(connection, new, meaning, found, now)


async def expire_tags(database: AsyncEngine, wall: Wall = _wall) -> int:
    """Takes away tags that have expired, each as of its own instant; how many. To be called every minute."""
    total = 0
    async with database.connect() as connection:
        now = await _now(connection, wall)
        while True:
            seen, gone = await tags.expire(connection, now)
            await connection.commit()
            total += gone
            if seen < tags.SLICE:
                return total


@asynccontextmanager
async def _alone(database: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection that alone looks at everybody."""
    async with database.connect() as connection:
        await derived.hold(connection)
        await connection.commit()
        try:
            yield connection
        except BaseException:
            # Its lock and its temporary table go with it.
            await connection.invalidate()
            raise
        await recomputing.drop(connection)
        await derived.release(connection)
        await connection.commit()


async def _now(connection: AsyncConnection, wall: Wall) -> datetime:
    now = (await clock.load(connection)).logical(wall())
    await connection.rollback()
    return now


async def _applied(connection: AsyncConnection) -> Applied:
    found = await applied(connection)
    await connection.rollback()
    return found


async def _live(connection: AsyncConnection) -> list[Plan]:
    standing = await journeys.standing(connection)
    live = {digest for status, digest in standing.values() if status in ("live", "paused") and digest}
    return [plan_from_json(plan) for plan in (await plans.by_digest(connection, live)).values()]


async def _sync(connection: AsyncConnection, meaning: Meaning, at: datetime) -> list[Place]:
    """Brings what is followed in line with what is applied; gives it back in order of work."""
    known = {each.place: each for each in await derived.followed(connection)}
    wanted = to_follow(meaning, await _live(connection), known)
    new = [
        (place, meaning.digests[place])
        for place in sorted(wanted)
        if place not in known or known[place].digest != meaning.digests[place]
    ]
    if new:
        await derived.begin(connection, new, at)
    await connection.commit()
    for place in known.keys() - wanted:
        if place[0] == "tag":
            await _take_away(connection, place[1], at)
        await derived.end(connection, place)
        await connection.commit()
    if not wanted:
        await rechecks.clear(connection)
        await connection.commit()
    return sorted(wanted, key=lambda place: (KINDS.index(place[0]), place[1]))


async def _take_away(connection: AsyncConnection, tag: str, at: datetime) -> None:
    """A tag has no rule any more."""
    differing = await recomputing.tagged_differing(connection, tag, None)
    await connection.commit()
    for after in range(0, differing, SLICE):
        await recomputing.write_tags(connection, tag, after, at)
        await connection.commit()


async def _forget(
    connection: AsyncConnection, places: Collection[Place], meaning: Meaning, at: datetime
) -> None:
    for place in places:
        await derived.forget(connection, place)
        await derived.begin(connection, [(place, meaning.digests[place])], at)
        await connection.commit()


async def _refuse_past(connection: AsyncConnection, places: Collection[Place], as_of: datetime) -> None:
    known = {each.place: each for each in await derived.followed(connection)}
    for place in places:
        told = [known[place].as_of] if known[place].filled else []
        if (last := await derived.last_change(connection, place)) is not None:
            told.append(last)
        if told and max(told) > as_of:
            raise RecomputeError(
                f"{_named(place)} is known up to {max(told).isoformat()} already; "
                "--afresh forgets that and begins anew"
            )
    await connection.rollback()


def _named(place: Place) -> str:
    kind, name = place
    return "the stage" if kind == "stage" else f"the {kind} `{name}`"


async def _all(
    connection: AsyncConnection,
    places: Collection[Place],
    meaning: Meaning,
    found: Applied,
    at: datetime,
    heard: Callable[[Done], None] = lambda done: None,
) -> Recomputed:
    setting = await setting_of(connection, found)
    known = {each.place: each for each in await derived.followed(connection)}
    heeded = await Heeded().names(connection)
    await connection.rollback()
    result = Recomputed(at)
    for place in sorted(places, key=lambda place: (KINDS.index(place[0]), place[1])):
        done = await _one(connection, known[place], meaning, setting, at, heeded, heard)
        result.done.append(done)
        await derived.filled(connection, place, at)
        await connection.commit()
    return result


async def _one(
    connection: AsyncConnection,
    followed: Followed,
    meaning: Meaning,
    setting: Setting,
    at: datetime,
    heeded: Collection[str],
    heard: Callable[[Done], None],
) -> Done:
    done = Done(followed.place, quiet=not followed.filled)
    kind, name = followed.place
    tree = parse(meaning.texts[followed.place])
    if kind == "stage":
        beginning = meaning.catalogue.beginning
        stage = column(tree, setting, at)
        differing = await recomputing.stages_differing(connection, stage, beginning)
    elif kind == "segment":
        differing = await recomputing.members_differing(
            connection, name, condition(conjuncts(tree), setting, at)
        )
    else:
        differing = await recomputing.tagged_differing(
            connection, name, condition(conjuncts(tree), setting, at)
        )
    await connection.commit()
    for after in range(0, differing, SLICE):
        told: list[Internal] = []
        if kind == "stage":
            moved = await recomputing.write_stages(connection, beginning, after, at, quiet=done.quiet)
            done.came += len(moved)
            told = [stage_changed(each) for each in moved]
        elif kind == "segment":
            passed = await recomputing.write_members(connection, name, after, at, quiet=done.quiet)
            done.came += sum(each.entered for each in passed)
            done.went += sum(not each.entered for each in passed)
            told = [segment_changed(each) for each in passed]
        else:
            given, taken = await recomputing.write_tags(connection, name, after, at)
            done.came, done.went = done.came + given, done.went + taken
        if told and not done.quiet:
            for event in told:
                event.heeded = event.name in heeded
            await record_events(connection, told, datetime.now(UTC))
        await connection.commit()
        heard(done)
    return done
