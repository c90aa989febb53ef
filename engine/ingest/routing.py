"""One batch of some shards, in one transaction: read, judge, write.

Everything is loaded before the first event is looked at and written after the last, one statement each,
so the cost of a batch hardly depends on how many events it has. Between the two only pure code runs, in
order: for each event the settlings that ended before it, the live enrolments, then entry; at last the
settlings that are due.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from engine.core.assignment import acts_at_once, stands
from engine.core.inputs import EntryState
from engine.customers.rfm import rescore_after
from engine.ingest.book import Book, Edition
from engine.ingest.close import end_enrolments
from engine.ingest.conditions import Judge, expressions_of, trigger_at
from engine.ingest.crowd_events import remember
from engine.ingest.entry import Entrance, Entry, ended_key, trigger_keys
from engine.ingest.heeded import Heeded
from engine.ingest.people import load_people, withdrawn
from engine.ingest.rechecking import recheck
from engine.ingest.times import Time
from engine.ingest.wakes import Followers, calls_of, followed, starts_of
from engine.store import enrolments, entries, events, pool, profiles, routing, starts
from engine.store.enrolments import End, Enrolment
from engine.store.entries import EntryKey, WithCrowds
from engine.store.events import Event
from engine.store.pool import NewRow
from engine.store.shards import shard_of
from engine.store.starts import NewStart

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Events, and settlings, that one transaction takes, shared among its shards."""


class CrowdWasFirst(Exception):
    """A crowd has let in a customer of the batch after it was read. Roll back, and take the batch again: what
    is decided then knows of it."""


@dataclass(frozen=True, slots=True)
class Routed:
    """What a batch came to. `more`: shards that may have more to take at once."""

    events: int = 0
    entered: int = 0
    woken: int = 0
    looked: int = 0
    more: tuple[int, ...] = ()


async def route(
    connection: AsyncConnection,
    shards: Sequence[int],
    book: Book,
    time: Time,
    limit: int = BATCH,
    heeded: Heeded | None = None,
) -> Routed:
    """Takes the next batch of these shards, but for those that another router has. The caller commits."""
    locked = await routing.try_locks(connection, shards)
    if not locked:
        return Routed()
    of_each = max(1, limit // len(locked))
    batch = await events.unrouted_in(connection, locked, of_each)
    return await route_events(connection, locked, batch, book, time, of_each, heeded)


async def route_events(
    connection: AsyncConnection,
    shards: Sequence[int],
    batch: Sequence[Event],
    book: Book,
    time: Time,
    limit: int = BATCH,
    heeded: Heeded | None = None,
) -> Routed:
    """Takes these events and what is due of the shards, which the caller has locked.

    `limit` is that of one shard: with as many events it counts as full.
    """
    batch = await _at_home(connection, batch)
    taken = Counter(event.shard for event in batch)
    full = {shard for shard, count in taken.items() if count >= limit}
    last = {event.shard: event.occurred_at for event in batch}
    # Behind a full batch there may be events that came before a settling is over: they go first.
    until = {shard: min(time.settle_by, last[shard]) if shard in full else time.settle_by for shard in shards}
    due = await entries.due(connection, until, limit)
    if not batch and not due:
        edition = await book.edition(connection)
        looked = await recheck(connection, edition, shards, (), time, heeded or Heeded())
        return Routed(looked=looked, more=tuple(shards) if looked else ())
    turn = await _load(connection, batch, due, book, time)
    for event in batch:
        turn.take(event)
    turn.settle(until, full)
    await _feed(connection, turn, {event.event_id for event in batch})
    await _write(connection, batch, turn, time)
    await remember(connection, book, batch, turn.crowds)
    edition = await book.edition(connection)
    looked = await recheck(connection, edition, shards, batch, time, heeded or Heeded())
    settled = Counter(shard_of(key.profile_id) for key in due)
    more = tuple(shard for shard in shards if shard in full or settled[shard] >= limit)
    return Routed(len(batch), len(turn.entry.entrances), len(turn.followers.wakes), looked, more)


async def _at_home(connection: AsyncConnection, batch: Sequence[Event]) -> Sequence[Event]:
    """The batch without events of profiles that were merged while these events came in.

    They become the survivor's and are routed in its shard. A merge waits for the routers of both its shards,
    so none happens while a batch is under way.
    """
    merged = await profiles.merged(connection, {event.profile_id for event in batch}) if batch else {}
    if not merged:
        return batch
    homes = {i: found.id for i, found in (await profiles.surviving(connection, merged)).items()}
    await events.bring_home(connection, homes)
    return [event for event in batch if event.profile_id not in merged]


class _Turn:
    """The pure part of a batch."""

    def __init__(
        self,
        entry: Entry,
        followers: Followers,
        unsubscribed: frozenset[str],
        crowds: Collection[tuple[str | None, str]] = (),
    ) -> None:
        self.entry = entry
        self.followers = followers
        self.crowds = crowds
        """(crowd, profile) of enrolments that were made by crowds."""
        self._unsubscribed = unsubscribed
        self._admitted = 0

    def take(self, event: Event) -> None:
        self.entry.settle_before(event.profile_id, event.occurred_at)
        self._admit()
        self.followers.take(event)
        if event.event_id in self._unsubscribed:
            self.followers.unsubscribe(event)
        self.entry.take(event)
        self._admit()

    def settle(self, until: Mapping[int, datetime], full: Collection[int]) -> None:
        def limit(profile_id: str) -> tuple[datetime, bool]:
            shard = shard_of(profile_id)
            return until[shard], shard not in full

        self.entry.settle(self.entry.due_by(limit))
        self._admit()

    def _admit(self) -> None:
        for entrance in self.entry.entrances[self._admitted :]:
            self.followers.enter(entrance)
        self._admitted = len(self.entry.entrances)


# --- reading --------------------------------------------------------------------------------------------


async def _load(
    connection: AsyncConnection,
    batch: Sequence[Event],
    due: Sequence[EntryKey],
    book: Book,
    time: Time,
) -> _Turn:
    edition = await book.edition(connection)
    profile_ids = {event.profile_id for event in batch} | {key.profile_id for key in due}
    rows = await _enrolments(connection, profile_ids, batch, edition)
    plans = await book.plans(connection, {row.digest for row in rows})
    judged = [*plans.values(), *(journey.plan for journey in edition.journeys)]
    texts = {text for plan in judged for text in expressions_of(plan)}
    instants = [time.now, *(event.occurred_at for event in batch)]
    people = await load_people(connection, profile_ids, texts, edition, min(instants), max(instants))
    judge = Judge(people, edition.catalogue, edition.installation.time_zone)
    triggers = trigger_keys(edition.journeys, batch, judge, time.instant)
    keys = {key for found in triggers.values() for key in found} | set(due)
    keys |= {key for event in batch if (key := ended_key(event)) is not None}
    states, ended = await _states(connection, profile_ids, keys, triggers)
    known = await _mentioned(connection, states.values(), rows, batch)
    entry = Entry(
        edition.journeys,
        {profile_id: facts.key for profile_id, facts in people.items()},
        triggers,
        states,
        known,
        await _overtaken(connection, batch, triggers, edition),
        judge,
        time.given_at,
        time.instant,
    )
    for key, at in ended.items():
        entry.end(key, at)
    concerned = [followed(row, plans[row.digest], judge, known) for row in rows if row.digest in plans]
    followers = Followers(concerned, judge, time.given_at, time.instant)
    rule = edition.installation.consent["marketing"]
    crowds = frozenset(
        (row.trigger.get("id"), row.profile_id) for row in rows if row.trigger_event_id is None
    )
    return _Turn(entry, followers, await withdrawn(connection, batch, rule), crowds)


async def _states(
    connection: AsyncConnection,
    profile_ids: set[str],
    keys: set[EntryKey],
    triggers: Mapping[str, Sequence[EntryKey]],
) -> WithCrowds:
    """Entry states of these keys, and of all that are settling; those that are judged know of crowds."""
    pending = await entries.pending_for_profiles(connection, profile_ids)
    states = {**await entries.load(connection, keys - pending.keys()), **pending}
    judged = {key for found in triggers.values() for key in found}
    judged |= {key for key, state in states.items() if state.due_at is not None or state.contested}
    return await entries.with_crowds(connection, states, judged)


async def _enrolments(
    connection: AsyncConnection, profile_ids: set[str], batch: Sequence[Event], edition: Edition
) -> list[Enrolment]:
    """Live enrolments, and those that a goal may still convert."""
    rows = {row.id: row for row in await enrolments.live_for_profiles(connection, profile_ids)}
    if batch and edition.longest_goal is not None:
        since = min(event.occurred_at for event in batch) - edition.longest_goal
        concerned = {event.profile_id for event in batch}
        rows |= {row.id: row for row in await enrolments.convertible(connection, concerned, since)}
    return list(rows.values())


async def _mentioned(
    connection: AsyncConnection,
    states: Iterable[EntryState],
    rows: Sequence[Enrolment],
    batch: Sequence[Event],
) -> dict[str, Event]:
    """Events that the batch needs: its own, pending and contested triggers, and triggers of enrolments
    where only the order of arrival tells what came first."""
    wanted: set[str] = set()
    for state in states:
        wanted |= {state.pending_id} if state.pending_id is not None else set()
        wanted |= {event_id for event_id, _, _ in state.contested}
    instants = {(event.profile_id, event.occurred_at) for event in batch}
    for row in rows:
        occurred_at = trigger_at(row.trigger, row.entered_at)
        if row.trigger_event_id is not None and (row.profile_id, occurred_at) in instants:
            wanted.add(row.trigger_event_id)
    known = {event.event_id: event for event in batch}
    missing = wanted - known.keys()
    return known | (await events.get_batch(connection, missing) if missing else {})


async def _overtaken(
    connection: AsyncConnection,
    batch: Sequence[Event],
    triggers: dict[str, list[EntryKey]],
    edition: Edition,
) -> dict[str, list[Event]]:
    """Events that were routed already although they occurred after a trigger of this batch."""
    late = [event for event in batch if event.event_id in triggers]
    names = {
        name for event in late for key in triggers[event.event_id] for name in edition.unless(key.journey)
    }
    if not names:
        return {}
    since = min(event.occurred_at for event in late)
    found = await events.for_profiles(connection, {event.profile_id for event in late}, names, since)
    return {
        profile_id: [event for event in later if event.routed_at is not None]
        for profile_id, later in found.items()
    }


async def _feed(connection: AsyncConnection, turn: _Turn, batch: set[str]) -> None:
    """Shows new enrolments what occurred after they began and was routed before they did."""
    entered = turn.entry.entrances
    names = {name for entrance in entered for name in entrance.plan.event_names()}
    if not names:
        return
    since = min(entrance.position[0] for entrance in entered)
    found = await events.for_profiles(connection, {e.profile_id for e in entered}, names, since)
    for entrance in entered:
        missed = found.get(entrance.profile_id, ())
        turn.followers.feed(
            entrance.enrolment_id,
            (event for event in missed if event.routed_at is not None and event.event_id not in batch),
        )


# --- writing --------------------------------------------------------------------------------------------


async def _write(connection: AsyncConnection, batch: Sequence[Event], turn: _Turn, time: Time) -> None:
    written = await _enrol(connection, turn.entry.entrances, time)
    await entries.save(connection, turn.entry.changed)
    await entries.count_missed(connection, list(turn.entry.refused.elements()))
    await enrolments.set_converted(connection, turn.followers.conversions)
    rows = [
        NewStart(
            "start",
            entrance.workflow_id,
            entrance.enrolment_id,
            start_payload(entrance, time),
            entrance.journey,
            acts_at_once(entrance.plan) and not entrance.holdout,
        )
        for entrance in written
        if entrance.plan.run_as == "workflow"
    ]
    rows += starts_of(turn.followers.wakes)
    await pool.add_batch(
        connection,
        [NewRow(e.enrolment_id, e.journey, e.profile_id) for e in written if e.plan.run_as == "pool"],
    )
    await pool.call_batch(connection, calls_of(turn.followers.wakes))
    await starts.add_batch(connection, rows)
    if batch:
        await events.mark_routed(connection, [event.event_id for event in batch], time.wall)
    await rescore_after(connection, batch, time.now)


async def _enrol(connection: AsyncConnection, entrances: Sequence[Entrance], time: Time) -> list[Entrance]:
    """Writes the enrolments, each after the one that it supersedes has ended; gives back the new ones."""
    waiting, written = list(entrances), list[Entrance]()
    while waiting:
        # One of a key at a time: a customer who restarts twice in one batch is live only in the last.
        turn: dict[EntryKey, Entrance] = {}
        for entrance in waiting:
            turn.setdefault(entrance.key, entrance)
        ends = [
            End(e.supersedes, "superseded", e.entered_at) for e in turn.values() if e.supersedes is not None
        ]
        await end_enrolments(connection, ends, time.wall)
        new = await enrolments.insert_batch(connection, [_row(entrance) for entrance in turn.values()])
        missing = [entrance for entrance in turn.values() if entrance.enrolment_id not in new]
        if missing:
            await _refuse(connection, missing)
        written += [entrance for entrance in turn.values() if entrance.enrolment_id in new]
        waiting = [entrance for entrance in waiting if turn[entrance.key] is not entrance]
    return written


async def _refuse(connection: AsyncConnection, missing: Sequence[Entrance]) -> None:
    """Says why entrances were not written.

    Raises:
        CrowdWasFirst: a crowd has let one of them in since the batch was read.
    """
    keys = {entrance.key for entrance in missing}
    found = await enrolments.live_for_profiles(connection, {key.profile_id for key in keys})
    if any(
        row.trigger_event_id is None and EntryKey(row.journey, row.profile_id, row.one_per) in keys
        for row in found
    ):
        raise CrowdWasFirst
    for entrance in missing:
        log.error("enrolment %s is there already; it is not started again", entrance.enrolment_id)


def _row(entrance: Entrance) -> Enrolment:
    plan, key = entrance.plan, entrance.profile_key
    step, variants = stands(plan, plan.first, key, entrance.enrolment_id, {})
    return Enrolment(
        id=entrance.enrolment_id,
        journey=entrance.journey,
        digest=entrance.digest,
        profile_id=entrance.profile_id,
        profile_key=entrance.profile_key,
        one_per=entrance.key.one_per,
        trigger_event_id=entrance.trigger.event_id,
        trigger=entrance.trigger_row(),
        holdout=entrance.holdout,
        entered_at=entrance.entered_at,
        driver=entrance.plan.run_as,
        workflow_id=entrance.workflow_id,
        variants=variants,
        step=step,
    )


def start_payload(entrance: Entrance, time: Time) -> dict[str, Any]:
    """What a driver needs to begin the enrolment. It ends up in workflow histories: no personal data."""
    payload: dict[str, Any] = {
        "journey": entrance.journey,
        "digest": entrance.digest,
        "enrolment_id": entrance.enrolment_id,
        "key": entrance.profile_key,
        "trigger_event_id": entrance.trigger.event_id,
        "entered_at": entrance.entered_at.isoformat(),
        "holdout": entrance.holdout,
    }
    return payload if time.scale is None else {**payload, "scale": time.scale}
