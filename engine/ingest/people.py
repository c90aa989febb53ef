"""The customers of a batch as expressions see them, loaded with one query a kind of fact."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.customers.consent import all_withdrawn
from engine.customers.facts import FactsRequest, definitions_of, load_facts
from engine.ingest.book import Edition
from engine.language.expressions import Facts, Requirements, requirements
from engine.store import consents
from engine.store.events import Event

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


async def load_people(
    connection: AsyncConnection,
    profile_ids: Collection[str],
    texts: Iterable[str],
    edition: Edition,
    earliest: datetime,
    latest: datetime,
) -> dict[str, Facts]:
    """Facts of each profile, enough for these expressions at any instant between the two."""
    needs = _stretched(requirements(texts, definitions_of(edition.catalogue)), latest - earliest)
    requests = [FactsRequest(profile_id, latest, needs) for profile_id in sorted(profile_ids)]
    installation = edition.installation
    rule = installation.consent["marketing"]
    found = await load_facts(connection, requests, edition.catalogue, installation.time_zone, rule)
    return {request.profile_id: facts for request, facts in zip(requests, found, strict=True)}


def _stretched(needs: Requirements, span: timedelta) -> Requirements:
    """History is loaded back from the latest instant; the earliest must find as much of it."""
    for name, within in needs.history.items():
        needs.history[name] = None if within is None else within + span
    return needs


async def withdrawn(connection: AsyncConnection, batch: Iterable[Event], rule: str) -> frozenset[str]:
    """Ids of the `consent.changed` events after which a customer has withdrawn all marketing consent.

    `rule` is the installation's for marketing.
    """
    changed = [e for e in batch if e.name == "consent.changed" and e.properties.get("granted") is False]
    if not changed:
        return frozenset()
    current = await consents.current(connection, {event.profile_id for event in changed})
    return frozenset(event.event_id for event in changed if all_withdrawn(current[event.profile_id], rule))
