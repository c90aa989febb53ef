"""The customers of a batch as expressions see them, loaded with one query a kind of fact."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from engine.ingest.book import Edition
from engine.language.catalogue import Catalogue
from engine.language.expressions import Definitions, Facts, Occurrence
from engine.language.expressions.requirements import Requirements, requirements
from engine.language.types import typed
from engine.store import consents, events, profiles, segments
from engine.store.events import Event
from engine.store.profiles import Profile

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


async def load_people(
    connection: AsyncConnection,
    profile_ids: Collection[str],
    texts: Iterable[str],
    edition: Edition,
    now: datetime,
) -> dict[str, Facts]:
    """Facts of each profile, enough for these expressions at `now` and earlier."""
    definitions, zone = _definitions(edition.catalogue), ZoneInfo(edition.installation.time_zone)
    needs = requirements(texts, definitions)
    found = await profiles.get_batch(connection, profile_ids)
    granted = await consents.current(connection, found) if needs.consents else {}
    lists = await segments.of_profiles(connection, found) if needs.segments else {}
    history = await _history(connection, found, needs, edition.catalogue)
    types = {name: about.type for name, about in edition.catalogue.profile.items()}
    return {
        profile_id: Facts(
            now=now,
            key=profile.key,
            profile=typed(_attributes(profile), types, zone),
            tags=frozenset(profile.tags),
            segments=frozenset(lists.get(profile_id, ())),
            stage=profile.stage,
            consents=granted[profile_id].channels() if profile_id in granted else {},
            history=history.get(profile_id, {}),
            definitions=definitions,
            zone=zone,
        )
        for profile_id, profile in found.items()
    }


async def withdrawn(connection: AsyncConnection, batch: Iterable[Event]) -> frozenset[str]:
    """Ids of the `consent.changed` events after which a customer who had granted some marketing consent
    has withdrawn all of it."""
    changed = [e for e in batch if e.name == "consent.changed" and e.properties.get("granted") is False]
    if not changed:
        return frozenset()
    current = await consents.current(connection, {event.profile_id for event in changed})
    found = set()
    for event in changed:
        channels = current[event.profile_id].channels()
        if channels and not any(channels.values()):
            found.add(event.event_id)
    return frozenset(found)


def _definitions(catalogue: Catalogue) -> Definitions:
    return Definitions(
        segments={name: text for name, text in catalogue.segments.items() if text is not None},
        computed={
            name: about.computed for name, about in catalogue.profile.items() if about.computed is not None
        },
        stages=tuple((stage.name, stage.where) for stage in catalogue.stages),
    )


def _attributes(profile: Profile) -> dict[str, Any]:
    built_in = {
        "external_id": profile.external_id,
        "time_zone": profile.time_zone,
        "locale": profile.locale,
    }
    return {**profile.attributes, **profile.addresses, **built_in}


async def _history(
    connection: AsyncConnection, profile_ids: Iterable[str], needs: Requirements, catalogue: Catalogue
) -> Mapping[str, dict[str, list[Occurrence]]]:
    if not needs.history:
        return {}
    found: dict[str, dict[str, list[Occurrence]]] = {}
    for profile_id, past in (await events.for_profiles(connection, profile_ids, needs.history)).items():
        by_name = found.setdefault(profile_id, {})
        for event in past:
            declared = catalogue.event(event.name)
            types = {} if declared is None else {key: one.type for key, one in declared.properties.items()}
            occurrence = Occurrence(event.occurred_at, typed(event.properties, types))
            by_name.setdefault(event.name, []).append(occurrence)
    return found
