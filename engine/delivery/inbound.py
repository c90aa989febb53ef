"""What people did at providers becomes events on their profiles: found by what the provider calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from channels.inbound import Inbound
from engine.core.identity import event_id
from engine.customers.applied import applied
from engine.customers.identifiers import Unusable, normalise
from engine.customers.resolve import Request, resolve
from engine.delivery.receipts import about, after
from engine.ingest.merging import follow
from engine.ingest.recording import Internal, consent_changes, record_events
from engine.language.channel_events import REPLIES
from engine.store import consents, events, identities, received
from engine.store.consents import Consent
from engine.store.events import NewEvent
from engine.store.identities import Identity

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

ANSWERS: Final = timedelta(days=7)
"""How long after a message what somebody writes is an answer to it."""
ROUNDED: Final = timedelta(seconds=1)
"""Providers tell seconds: an answer may seem to be earlier than its message by that much."""
LONGEST: Final = 8_000
"""Characters of one property; what people write has no limit everywhere."""
NOBODY: Final = "it names nobody"


@dataclass(frozen=True, slots=True)
class Came:
    """Something inbound, by a channel's adapter. `at` and `received_at` are logical."""

    channel: str
    adapter: str
    inbound: Inbound = field(repr=False)
    at: datetime
    received_at: datetime

    @property
    def source(self) -> str:
        return f"{self.channel}:{self.adapter}"

    @property
    def event_id(self) -> str:
        return event_id(self.source, self.inbound.message_id)


async def take_in(connection: AsyncConnection, came: Sequence[Came]) -> set[int]:
    """Keeps the events, makes the profiles that there are not; returns the places of what names nobody.

    The same again changes nothing. Whoever wrote to stop has consent for the channel withdrawn; of the last
    message before it whatever somebody wrote is a reply.
    """
    known = await applied(connection)
    rules, catalogue = known.installation.identities, known.catalogue
    named = [_identities(each.inbound, rules.phone_region) for each in came]
    kept = [(each, who) for each, (who, _) in zip(came, named, strict=True) if who]
    nobody = {place for place, (who, _) in enumerate(named) if not who}
    problems = Counter(
        (kind, each.source, why) for each, (_, wrong) in zip(came, named, strict=True) for kind, why in wrong
    )
    if problems:
        await identities.count_problems(connection, problems, came[0].received_at)
    if not kept:
        return nobody
    resolution = await resolve(connection, [Request(who, each.at) for each, who in kept], rules)
    await follow(connection, resolution.merges, kept[-1][0].received_at)
    owned = [(each, owner.profile_id) for (each, _), owner in zip(kept, resolution.profiles, strict=True)]
    new = await events.insert_batch(
        connection, [_event(each, owner, catalogue.canonical(each.inbound.name)) for each, owner in owned]
    )
    first: dict[str, tuple[Came, str]] = {}
    for each, owner in owned:
        if each.event_id in new:
            first.setdefault(each.event_id, (each, owner))
    await _follow_up(connection, list(first.values()))
    return nobody


def _identities(inbound: Inbound, region: str | None) -> tuple[tuple[Identity, ...], list[tuple[str, str]]]:
    """Who it is, in the shapes of the kinds; and what was meant to say so and does not: kind, why."""
    found: dict[Identity, None] = {}
    wrong = []
    for kind, value in inbound.identities:
        try:
            found[kind, normalise(kind, value, region)] = None
        except Unusable as why:
            wrong.append((kind, str(why)))
    return tuple(found), wrong


def _event(came: Came, profile_id: str, name: str) -> NewEvent:
    return NewEvent(
        event_id=came.event_id,
        profile_id=profile_id,
        name=name,
        occurred_at=came.at,
        received_at=came.received_at,
        source=came.source,
        message_id=came.inbound.message_id,
        properties=_bounded(came.inbound.properties),
    )


def _bounded(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:LONGEST] if isinstance(value, str) else value for name, value in properties.items()}


async def _follow_up(connection: AsyncConnection, new: Sequence[tuple[Came, str]]) -> None:
    """What follows from events that are new: withdrawn consent, and which messages they answer."""
    stopped = [
        Consent(owner, came.channel, False, came.at, source=f"{came.inbound.name}: {came.adapter}")
        for came, owner in new
        if came.inbound.opt_out
    ]
    replies = [(came, owner) for came, owner in new if came.inbound.name in REPLIES]
    found = await received.last_sent(
        connection, [(owner, came.channel, came.at + ROUNDED) for came, owner in replies], ANSWERS
    )
    answers = [
        Internal(
            row.profile_id,
            "message.replied",
            after(row, replies[place][0].at),
            f"{row.key}/message.replied/{replies[place][0].event_id}",
            about(row),
        )
        for place, row in found.items()
    ]
    await consents.add_batch(connection, stopped)
    if stopped or answers:
        received_at = new[-1][0].received_at
        await record_events(connection, [*answers, *consent_changes(stopped)], received_at)
