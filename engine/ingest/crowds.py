"""Crowds: many customers into one journey, as a job that may be cut off at any moment.

Asking writes a row and nothing else. `Crowds.advance` does the next piece of the work, each in a transaction
that also notes how far it has come: it begins, enters slice after slice, and shows what happened meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engine.core.assignment import acts_at_once
from engine.core.plan import Plan
from engine.customers import segments
from engine.customers.applied import identity_rules
from engine.customers.lookup import sought
from engine.customers.segments import Group
from engine.ingest import crowd_events
from engine.ingest.book import Book
from engine.ingest.conditions import MANUAL_ENTRY
from engine.ingest.manual import enterable, refuse_undeclared
from engine.ingest.recording import Internal, record_events
from engine.ingest.times import time_at
from engine.language.expressions.sql import condition
from engine.language.types import to_json
from engine.store import crowd_members, crowd_slices, crowds, entries, routing
from engine.store.crowd_members import Named
from engine.store.crowd_slices import SLICE, Rules, Sliced
from engine.store.crowds import Crowd, Status, Step, What
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine


@dataclass(frozen=True, slots=True)
class Asked:
    """A crowd that was asked for. `not_one`: places of a list (from 0) that lead to no customer (0), or to
    how many."""

    crowd: Crowd
    not_one: dict[int, int] = field(default_factory=dict)


async def ask(
    connection: AsyncConnection,
    journey: str,
    given: Mapping[str, Any],
    *,
    tag: str | None = None,
    group: Group | None = None,
    listed: Iterable[Named] | None = None,
    unreadable: int = 0,
    heard: Callable[[int], None] = lambda count: None,
    campaign: bool = False,
    due_at: datetime | None = None,
) -> Asked:
    """Asks that everybody enters a journey; with `tag` who has it, with `listed` who is named there, with
    `group` who is in it, as it is meant now, at the instant of entry. With `campaign` those of the segment
    that the journey itself names.

    Args:
        given: what `trigger` then has.
        unreadable: lines of the list that name nobody.
        due_at: when it was to be launched, if it has a schedule.
        heard: told how many of the list were looked up.

    Raises:
        EntryRefused: no such journey, it takes nobody in by hand, it is not live, or not such properties.
    """
    digest, plan = await enterable(connection, journey, campaign=campaign)
    refuse_undeclared(plan, given)
    if campaign:
        group = await segments.named(connection, plan.trigger.segment or "")
    crowd_id = _new_id(datetime.now(UTC))
    members, not_one = 0, dict[int, int]()
    if listed is not None:
        rules = await identity_rules(connection)
        rest, place = (sought(each, rules) for each in listed), 0
        while part := list(islice(rest, crowd_members.SLICE)):
            found = await crowd_members.add_batch(connection, crowd_id, part)
            not_one |= {place + each: count for each, count in found.not_one.items()}
            members += found.added
            place += len(part)
            heard(place)
    await crowds.add(
        connection,
        crowd_id,
        journey,
        digest,
        _what(tag, group, listed),
        tag=tag,
        segment=None if group is None else group.name,
        condition=None if group is None else group.frozen,
        given={name: to_json(value) for name, value in given.items()},
        unknown=len(not_one) + unreadable,
        total=members if listed is not None else None,
        due_at=due_at,
    )
    crowd = await crowds.get(connection, crowd_id)
    assert crowd is not None
    return Asked(crowd, not_one)


def _what(tag: str | None, group: Group | None, listed: Iterable[Named] | None) -> What:
    if listed is not None:
        return "list"
    if group is not None:
        return "segment"
    return "all" if tag is None else "tag"


async def cancel(connection: AsyncConnection, crowd_id: str) -> Crowd | None:
    """Lets nobody else in; those who are in stay. The crowd as it stood before, None if there is none."""
    before = await crowds.end(connection, crowd_id, "cancelled")
    if before is not None and before.status == "waiting":
        await crowds.clear(connection, crowd_id)
    return before


def _new_id(now: datetime) -> str:
    """A UUIDv7: ids of crowds, and of the enrolments that they make, ascend with time."""
    number = int(now.timestamp() * 1000) << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


@dataclass(slots=True)
class Crowds:
    """Works on crowds. `limit` is how many profiles one transaction looks at; `wall` is for tests."""

    database: AsyncEngine
    limit: int = SLICE
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    _book: Book = field(default_factory=Book)

    async def advance(self, crowd_id: str) -> Crowd | None:
        """Does the next piece of a crowd that is not over; the crowd as it stands then.

        Every piece is one transaction, or harmless to repeat: after a crash it is simply called again.
        """
        crowd, more = await in_transaction(self.database, lambda c: self._slice(c, crowd_id))
        if crowd is None or more:
            return crowd
        if not crowd.over and crowd.entered_at is None:
            await self._begin(crowd)
        else:
            await self._wind_up(crowd, crowd.status if crowd.over else "entered")
        return await self._get(crowd_id)

    async def stop(self, crowd_id: str) -> Crowd | None:
        """Cancels a crowd, and sees to those who are in."""
        await in_transaction(self.database, lambda c: cancel(c, crowd_id))
        return await self.advance(crowd_id)

    async def _begin(self, crowd: Crowd) -> None:
        """Fixes the instant of entry when every router remembers what comes after it."""
        await in_transaction(self.database, lambda c: crowds.begin(c, crowd.id))
        await self._routers()

        async def set_out(connection: AsyncConnection) -> None:
            time = await time_at(connection, self.wall())
            # On a scaled clock lag changes nothing: they enter when they were to.
            at = crowd.due_at if crowd.due_at is not None and time.exact else time.now
            asked = None
            if crowd.condition is not None:
                asked = await segments.best_condition(connection, *segments.thawed(crowd.condition), at)
            await crowds.set_out(connection, crowd, at, asked)

        await in_transaction(self.database, set_out)

    async def _slice(self, connection: AsyncConnection, crowd_id: str) -> tuple[Crowd | None, bool]:
        """Enters the next slice, if the crowd is entering; the crowd, and whether there may be more."""
        held = await crowds.hold(connection, crowd_id)
        if held is None:
            return None, False
        crowd = held.crowd
        if crowd.over or crowd.entered_at is None:
            return crowd, False
        await routing.share_shards(connection)
        plan = (await self._book.plans(connection, [crowd.digest])).get(crowd.digest)
        if held.journey not in ("live", "paused") or plan is None:
            why = f"journey {crowd.journey!r} is {held.journey or 'gone'}: nobody else enters"
            await crowds.end(connection, crowd_id, "failed", why)
            return await crowds.get(connection, crowd_id), False
        scale = None
        if plan.run_as == "workflow":  # the pool reads the clock itself
            scale = (await time_at(connection, self.wall())).scale
        paused = held.journey == "paused"
        rules = Rules(plan.run_as, plan.trigger.reenter, plan.holdout, acts_at_once(plan), scale)
        asked = None
        if crowd.condition is not None:
            asked = condition(*segments.thawed(crowd.condition), crowd.entered_at, "each")
        sliced = await crowd_slices.enter_slice(
            connection, crowd, rules, limit=self.limit, paused=paused, condition=asked
        )
        return await self._note(connection, crowd, sliced, plan), sliced.seen >= self.limit

    async def _note(self, connection: AsyncConnection, crowd: Crowd, sliced: Sliced, plan: Plan) -> Crowd:
        at = crowd.entered_at
        assert at is not None
        if sliced.again:
            properties = {"journey": crowd.journey, "with": crowd.given}
            name = f"enter/{crowd.journey}/crowd/{crowd.id}"
            events = [Internal(p, MANUAL_ENTRY, at, f"{name}/{p}", properties) for p in sliced.again]
            await record_events(connection, events, self.wall())
        for reason, count in sliced.refused.items():
            await entries.count_missed(connection, [(crowd.journey, at.date(), reason)] * count)
        step = Step(sliced.cursor, sliced.looked, sliced.entered, len(sliced.again), sliced.refused)
        return await crowds.advance(connection, crowd, step, plan.run_as)

    async def _wind_up(self, crowd: Crowd, status: Status) -> None:
        """Shows what happened meanwhile to those who are in, and ends the crowd."""
        await self._routers()

        async def show(connection: AsyncConnection) -> int:
            time = await time_at(connection, self.wall())
            return await crowd_events.show(connection, crowd, self._book, time)

        async def over(connection: AsyncConnection) -> None:
            await crowds.end(connection, crowd.id, status)
            await crowds.clear(connection, crowd.id)

        while await in_transaction(self.database, show):
            pass
        await in_transaction(self.database, over)

    async def _routers(self) -> None:
        async with self.database.connect() as connection:
            await routing.wait_for_routers(connection)

    async def _get(self, crowd_id: str) -> Crowd | None:
        async with self.database.connect() as connection:
            return await crowds.get(connection, crowd_id)
