"""Facts for expressions, loaded for many customers at once: one query a kind of fact, and none unneeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.customers import consent
from engine.language.catalogue import BUILT_IN_ATTRIBUTES, Catalogue
from engine.language.expressions import Definitions, Facts, Occurrence, Requirements, event_facts
from engine.language.knowledge import RFM_ATTRIBUTES
from engine.language.types import typed
from engine.store import events, profiles, rfm, segments, tags
from engine.store.connection import AsyncConnection
from engine.store.events import Event
from engine.store.profiles import Profile


@dataclass(slots=True)
class FactsRequest:
    """One customer at the logical instant `now`.

    `trigger` and `event` are as `event_facts` gives them (`facts_of_event` here). `requirements` says what
    is to be loaded beside the profile: `engine.language.expressions.requirements(texts, definitions)`.
    """

    profile_id: str
    now: datetime
    requirements: Requirements = field(default_factory=Requirements)
    trigger: Mapping[str, Any] | None = field(default=None, repr=False)
    event: Mapping[str, Any] | None = field(default=None, repr=False)
    answers: Mapping[str, Any] = field(default_factory=dict, repr=False)


def definitions_of(catalogue: Catalogue) -> Definitions:
    """The catalogue's own expressions, as `Facts` and `requirements` take them."""
    return Definitions(
        segments={name: text for name, text in catalogue.segments.items() if text is not None},
        computed={n: about.computed for n, about in catalogue.profile.items() if about.computed is not None},
        stages=tuple((stage.name, stage.where) for stage in catalogue.stages),
        tags=catalogue.rules,
    )


def event_types(catalogue: Catalogue, name: str) -> dict[str, str]:
    """The declared types of an event's properties; empty for an event that is not declared."""
    event = catalogue.event(name)
    return {} if event is None else {key: about.type for key, about in event.properties.items()}


def facts_of_event(catalogue: Catalogue, event: Event, time_zone: str = "UTC") -> dict[str, Any]:
    """An event as `event` and `trigger` show it in expressions. `time_zone` is the installation's."""
    types = event_types(catalogue, event.name)
    return event_facts(
        event.name, event.event_id, event.occurred_at, event.properties, types, _zone(time_zone)
    )


def attributes_of(catalogue: Catalogue, profile: Profile, zone: ZoneInfo) -> dict[str, Any]:
    """A profile as `profile` shows it in expressions and templates: declared attributes by their types."""
    raw = {
        **profile.attributes,
        **profile.addresses,
        "external_id": profile.external_id,
        "time_zone": profile.time_zone,
        "locale": profile.locale,
    }
    for name, about in catalogue.profile.items():
        if about.kept:
            raw.pop(name, None)
    types = {name: about.type for name, about in (*BUILT_IN_ATTRIBUTES.items(), *catalogue.profile.items())}
    return typed({name: value for name, value in raw.items() if value is not None}, types, zone)


async def load_facts(
    connection: AsyncConnection,
    requests: Sequence[FactsRequest],
    catalogue: Catalogue,
    time_zone: str = "UTC",
    consent_rule: str = "opt_in",
    known: Mapping[str, Profile] | None = None,
) -> list[Facts]:
    """Facts for each request, in order; an unknown profile is one of which nothing is known.

    History holds events that are stored, routed or not, and occurred at or before the request's `now`. Of a
    merged profile the facts are those of the profile it was merged into. `time_zone` is the installation's:
    the zone of those who have none of their own. `consent_rule` is its rule for marketing. `known` are the
    profiles, where this transaction has them already, all of them and none merged.
    """
    if not requests:
        return []
    people = known
    if people is None:
        people = await profiles.surviving(connection, {r.profile_id for r in requests})
    ids = {
        r.profile_id: people[r.profile_id].id if r.profile_id in people else r.profile_id for r in requests
    }
    agreed: Mapping[str, Mapping[str, bool]] = {}
    if wanted := {ids[r.profile_id] for r in requests if r.requirements.consents}:
        agreed = await consent.granted(connection, wanted, consent_rule)
    lists: Mapping[str, set[str]] = {}
    if wanted := {ids[r.profile_id] for r in requests if r.requirements.segments}:
        lists = await segments.of_profiles(connection, wanted)
    scored = await _scored(connection, requests, ids, catalogue)
    expired = await _expired(connection, requests, people)
    past = await _history(connection, requests, ids)
    own = _zone(time_zone)
    definitions = definitions_of(catalogue)
    found = []
    for request in requests:
        person = people.get(request.profile_id)
        profile_id = ids[request.profile_id]
        zone = _zone(person.time_zone, own) if person and person.time_zone else own
        found.append(
            Facts(
                now=request.now,
                key=person.key if person else "",
                profile=attributes_of(catalogue, person, own) | scored.get(profile_id, {}) if person else {},
                tags=_tags(person, request.now, expired) if person else frozenset(),
                segments=frozenset(lists.get(profile_id, ())),
                stage=person.stage if person else None,
                consents=agreed.get(profile_id, {}),
                trigger=request.trigger,
                event=request.event,
                answers=request.answers,
                history=_occurrences(past.get(profile_id, ()), request, catalogue, time_zone),
                definitions=definitions,
                zone=zone,
            )
        )
    return found


async def _scored(
    connection: AsyncConnection,
    requests: Sequence[FactsRequest],
    ids: Mapping[str, str],
    catalogue: Catalogue,
) -> dict[str, dict[str, Any]]:
    wanted = (
        set()
        if catalogue.rfm is None
        else {ids[r.profile_id] for r in requests if r.requirements.attributes.intersection(RFM_ATTRIBUTES)}
    )
    found = await rfm.of_profiles(connection, wanted) if wanted else {}
    return {profile_id: dict(zip(RFM_ATTRIBUTES, row, strict=True)) for profile_id, row in found.items()}


async def _expired(
    connection: AsyncConnection, requests: Sequence[FactsRequest], people: Mapping[str, Profile]
) -> Mapping[str, list[tags.Grant]]:
    """Grants of those who may have a tag that has expired and was not taken away yet."""
    wanted = {
        person.id
        for request in requests
        if (person := people.get(request.profile_id)) is not None
        and person.tags_expire_at is not None
        and person.tags_expire_at <= request.now
    }
    return await tags.of_profiles(connection, wanted) if wanted else {}


def _tags(person: Profile, now: datetime, expired: Mapping[str, list[tags.Grant]]) -> frozenset[str]:
    over = {
        grant.tag
        for grant in expired.get(person.id, ())
        if grant.expires_at is not None and grant.expires_at <= now
    }
    return frozenset(person.tags) - over


async def _history(
    connection: AsyncConnection, requests: Sequence[FactsRequest], ids: Mapping[str, str]
) -> dict[str, list[Event]]:
    asking = [r for r in requests if r.requirements.history]
    if not asking:
        return {}
    spans = [(r.now, within) for r in asking for within in r.requirements.history.values()]
    since = None
    if all(within is not None for _, within in spans):
        since = min(_before(now, within) for now, within in spans if within is not None)
    return await events.for_profiles(
        connection,
        {ids[r.profile_id] for r in asking},
        {name for r in asking for name in r.requirements.history},
        since=since,
        until=max(r.now for r in asking),
    )


def _occurrences(
    past: Sequence[Event], request: FactsRequest, catalogue: Catalogue, time_zone: str
) -> dict[str, list[Occurrence]]:
    found: dict[str, list[Occurrence]] = {}
    for event in past:
        if event.name in request.requirements.history and event.occurred_at <= request.now:
            properties = facts_of_event(catalogue, event, time_zone)
            found.setdefault(event.name, []).append(Occurrence(event.occurred_at, properties, event.sequence))
    return found


def _before(now: datetime, within: timedelta) -> datetime:
    try:
        return now - within
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


@lru_cache(maxsize=1024)
def _zone(name: str | None, otherwise: ZoneInfo | None = None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return otherwise or ZoneInfo("UTC")
