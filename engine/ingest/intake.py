"""Intake: a batch of Segment-shaped messages becomes events, in one transaction.

Every message is answered for: accepted (perhaps as a repetition) or rejected with a reason. A bad message
does not lose the others. A repetition changes nothing, also not the profile, so that an old `identify`
sent again cannot undo a newer one.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from engine.core.identity import event_id
from engine.customers.applied import applied
from engine.customers.graph import most_telling
from engine.customers.profiles import Traits, apply_traits
from engine.customers.resolve import Request, resolve
from engine.ingest.identifying import Identified, identified
from engine.ingest.landing import visitors
from engine.ingest.merging import follow
from engine.ingest.normalise import EARLY, Arrival, Incoming, Refusal, normalise
from engine.ingest.recording import consent_changes, record_events
from engine.language.catalogue import Catalogue
from engine.language.installation import Identities
from engine.store import clock, events, identities, rechecks
from engine.store.clock import ScaledClock
from engine.store.database import in_transaction
from engine.store.events import NewEvent

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

_JITTER = timedelta(minutes=1)
"""With a scaled clock: how much wall time a sender may be ahead of us."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is kept. `duplicate`: it had been before, or came earlier in the same batch.

    `problems` names identifiers in it that identify nobody, for whoever sent it.
    """

    event_id: str
    message_id: str
    duplicate: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message is not kept, and why, for whoever sent it."""

    reason: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Came:
    """A message, and the wall instant at which it came."""

    message: object = field(repr=False)
    at: datetime


async def accept(
    database: AsyncEngine,
    source: str,
    messages: Sequence[object],
    received_at: datetime,
    sent_at: datetime | None = None,
) -> list[Accepted | Rejected]:
    """Keeps the messages of one request; answers for each, in order.

    Args:
        source: whose `messageId`s these are: two sources may use the same one.
        received_at: logical now. `sent_at`: the batch's own `sentAt`, for messages that have none.
    """

    def arrivals(ticking: ScaledClock) -> list[Arrival]:
        return [_arrival(ticking, received_at, sent_at)] * len(messages)

    return await _accept(database, source, messages, arrivals)


async def accept_live(
    database: AsyncEngine, source: str, came: Sequence[Came], sent_at: datetime | None = None
) -> list[Accepted | Rejected]:
    """The same for messages that have just come, each at an instant of its own; logical now is looked up."""

    def arrivals(ticking: ScaledClock) -> list[Arrival]:
        at = {each.at: _arrival(ticking, ticking.logical(each.at), sent_at) for each in came}
        return [at[each.at] for each in came]

    return await _accept(database, source, [each.message for each in came], arrivals)


class Kept(NamedTuple):
    """A message that is to be kept, and who it is about."""

    event_id: str
    incoming: Incoming
    received_at: datetime
    who: Identified


async def _accept(
    database: AsyncEngine,
    source: str,
    messages: Sequence[object],
    arrivals: Callable[[ScaledClock], Sequence[Arrival]],
) -> list[Accepted | Rejected]:
    async def work(
        connection: AsyncConnection,
    ) -> tuple[list[Accepted | Rejected], Catalogue, list[Kept]]:
        came = arrivals(await clock.load(connection))
        known = await applied(connection)
        catalogue, rules = known.catalogue, known.installation.identities
        results, kept = _read(source, messages, came, catalogue, rules)
        kept = await _recognised(connection, kept, rules)
        new = await keep(connection, source, kept, rules, catalogue) if kept else set()
        waiting = iter(kept)
        return [result or _accepted(next(waiting), new) for result in results], catalogue, kept

    results, catalogue, kept = await in_transaction(database, work)
    await count_odd(database, source, catalogue, kept)
    return results


async def count_odd(database: AsyncEngine, source: str, catalogue: Catalogue, kept: Sequence[Kept]) -> None:
    """Counts what the catalogue lacks, and identifiers that identify nobody. Nothing depends on it."""
    await _count_undeclared(database, catalogue, kept)
    await _count_problems(database, source, kept)


async def _recognised(connection: AsyncConnection, kept: list[Kept], rules: Identities) -> list[Kept]:
    """The messages, those of visitors who came by a message's link as its customer's."""
    found = await visitors(connection, [each.incoming for each in kept], rules)
    for place, identity in found.items():
        who = kept[place].who
        kept[place] = kept[place]._replace(who=replace(who, identities=(*who.identities, identity)))
    return kept


def _read(
    source: str,
    messages: Sequence[object],
    arrivals: Sequence[Arrival],
    catalogue: Catalogue,
    rules: Identities,
) -> tuple[list[Rejected | None], list[Kept]]:
    """For each message why it is refused, or None; and those that are not, in order."""
    called = _called(catalogue)
    results: list[Rejected | None] = []
    kept: list[Kept] = []
    for message, arrival in zip(messages, arrivals, strict=True):
        try:
            named = isinstance(message, dict) and message.get("messageId")
            incoming = normalise(message, arrival, "" if named else uuid.uuid4().hex, called)
        except Refusal as refusal:
            results.append(Rejected(str(refusal), _stated_id(message)))
        else:
            identifier = event_id(source, incoming.message_id)
            kept.append(Kept(identifier, incoming, arrival.received_at, identified(incoming, rules)))
            results.append(None)
    return results, kept


def _accepted(kept: Kept, new: set[str]) -> Accepted:
    """The first message with an id that was new is the one kept; those after it are duplicates."""
    duplicate = kept.event_id not in new
    new.discard(kept.event_id)
    problems = tuple(str(problem) for problem in kept.who.problems)
    return Accepted(kept.event_id, kept.incoming.message_id, duplicate, problems)


async def keep(
    connection: AsyncConnection,
    source: str,
    kept: Sequence[Kept],
    rules: Identities,
    catalogue: Catalogue,
    *,
    heeded: bool = True,
    made: set[str] | None = None,
) -> set[str]:
    """Writes the messages; returns the ids of the events that are new. `heeded` is as in `NewEvent`; `made`
    is given the profiles that were made for them."""
    resolution = await resolve(connection, [_request(each) for each in kept], rules)
    owners = resolution.profiles
    if made is not None:
        made.update(owner.profile_id for owner in owners if owner.made)
    await follow(connection, resolution.merges, kept[-1].received_at)
    new = await events.insert_batch(
        connection,
        [
            NewEvent(
                event_id=identifier,
                profile_id=owner.profile_id,
                name=incoming.name,
                occurred_at=incoming.occurred_at,
                received_at=received_at,
                source=source,
                message_id=incoming.message_id,
                properties=incoming.properties,
                type=incoming.type,
                heeded=heeded,
            )
            for (identifier, incoming, received_at, _), owner in zip(kept, owners, strict=True)
        ],
    )
    traits, told = [], set[str]()
    for place, (each, owner) in enumerate(zip(kept, owners, strict=True)):
        if each.incoming.traits and each.event_id in new and each.event_id not in told:
            told.add(each.event_id)
            traits.append(_said(each, owner.profile_id, source, place, rules))
    if traits:
        consents = await apply_traits(connection, traits, rules, catalogue)
        await record_events(connection, consent_changes(consents), kept[-1].received_at)
    if not heeded:  # no router will see them
        await rechecks.add(connection, {owner.profile_id for owner in owners})
    return new


def _said(kept: Kept, profile_id: str, source: str, place: int, rules: Identities) -> Traits:
    incoming, at = kept.incoming, kept.incoming.occurred_at
    if at == kept.received_at:  # its sender did not say when: then their order does
        at += timedelta(microseconds=place)
    via = ":".join(most_telling(kept.who.identities, rules))
    return Traits(profile_id, incoming.traits, at, source, incoming.confidence, via)


def _request(kept: Kept) -> Request:
    """Who it is about, as resolving takes it. What traits say is shown by the traits."""
    told = kept.incoming.traits
    shown = frozenset(identity for identity in kept.who.identities if identity[0] not in told)
    return Request(kept.who.identities, kept.incoming.occurred_at, shown)


def _arrival(ticking: ScaledClock, received_at: datetime, sent_at: datetime | None) -> Arrival:
    if not ticking.scaled:
        return Arrival(received_at, sent_at)
    return Arrival(received_at, sent_at, exact=True, early=EARLY + _JITTER * ticking.speed)


def _stated_id(message: object) -> str | None:
    stated = message.get("messageId") if isinstance(message, dict) else None
    return stated[:100] if isinstance(stated, str) else None


# --- the catalogue ----------------------------------------------------------------------------------------


def _called(catalogue: Catalogue) -> Mapping[str, str]:
    return {
        name: event.name
        for event in catalogue.events.values()
        for name in event.also_called
        if name not in catalogue.events
    }


async def _count_undeclared(database: AsyncEngine, catalogue: Catalogue, kept: Sequence[Kept]) -> None:
    """Counts what the catalogue lacks. In a transaction of its own: many batches meet on these rows."""
    seen: Counter[tuple[str, str]] = Counter()
    for _, incoming, _, _ in kept:
        if incoming.type in ("identify", "alias"):
            continue
        declared = catalogue.event(incoming.name)
        if declared is None:
            seen[incoming.name, ""] += 1
        elif not incoming.properties.keys() <= declared.properties.keys():
            seen.update((incoming.name, key) for key in incoming.properties if key not in declared.properties)
    if not seen:
        return
    at = kept[-1].received_at
    try:
        await in_transaction(database, lambda c: events.count_undeclared(c, dict(seen), at))
    except Exception:  # the events are kept: a lost count is no reason to answer with an error
        log.warning("could not count undeclared events", exc_info=True)


async def _count_problems(database: AsyncEngine, source: str, kept: Sequence[Kept]) -> None:
    """Counts identifiers that identify nobody, so that somebody sees which source sends them."""
    seen = Counter((each.kind, source, each.reason) for one in kept for each in one.who.problems)
    if not seen:
        return
    at = kept[-1].received_at
    try:
        await in_transaction(database, lambda c: identities.count_problems(c, seen, at))
    except Exception:  # as above
        log.warning("could not count identifiers that identify nobody", exc_info=True)
