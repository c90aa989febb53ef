"""Consents that people and systems record on purpose: into the ledger, and told to journeys as an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.customers.applied import applied
from engine.ingest.recording import consent_changes, record_events
from engine.language.diagnostics import listed
from engine.store import clock, consents, profiles
from engine.store.consents import EVERY_PURPOSE, Consent
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine


class NobodyConsents(LookupError):
    """There is no profile with this id."""


class WrongConsent(ValueError):
    """The entry cannot stand in the ledger. The text says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a customer agreed to or withdrew. `*` is every channel, or every purpose."""

    channel: str
    granted: bool
    purpose: str = EVERY_PURPOSE
    category: str = "marketing"
    source: str | None = None
    text_version: str | None = None


async def record_consent(
    database: AsyncEngine, profile_id: str, said: Said, at: datetime | None = None
) -> Consent:
    """Adds an entry to the ledger, in one transaction; gives it back as it stands there.

    `at` None is now. Of a merged profile it is the one it was merged into that consents. The same twice is
    two entries that say the same.

    Raises:
        NobodyConsents: there is no such profile.
        WrongConsent: a purpose that is not declared, or an instant that has not come yet.
    """

    async def work(connection: AsyncConnection) -> Consent:
        declared = (await applied(connection)).installation.purposes
        now = (await clock.load(connection)).now()
        if at is not None and at > now:
            raise WrongConsent("consent cannot be recorded for an instant that has not come yet")
        if said.purpose != EVERY_PURPOSE and said.purpose not in declared:
            known = f"there are {listed(declared)}" if declared else "`kairos.yaml` declares none"
            raise WrongConsent(f"unknown purpose `{said.purpose[:60]}`: {known}")
        entry = Consent(
            await _owner(connection, profile_id),
            said.channel,
            said.granted,
            now if at is None else at,
            said.category,
            said.source,
            said.text_version,
            said.purpose,
        )
        await consents.add_batch(connection, [entry])
        await record_events(connection, consent_changes([entry]), datetime.now(UTC))
        return entry

    return await in_transaction(database, work)


async def record_changes(database: AsyncEngine, profile_id: str, said: Sequence[Said]) -> list[Consent]:
    """Adds those entries that change something, in one transaction, in this order; gives them back.

    The same twice is one entry, unless something else was said in between. Purposes need not be declared: one
    that is not any more can still be withdrawn.

    Raises:
        NobodyConsents: there is no such profile.
    """

    async def work(connection: AsyncConnection) -> list[Consent]:
        owner = await _owner(connection, profile_id)
        now = (await clock.load(connection)).now()
        known = (await consents.current(connection, [owner]))[owner]
        new = []
        for each in said:
            if known.says(each.channel, each.purpose, each.granted, each.category):
                continue
            entry = Consent(
                owner,
                each.channel,
                each.granted,
                now,
                each.category,
                each.source,
                each.text_version,
                each.purpose,
            )
            new.append(entry)
            known.add(entry)
        await consents.add_batch(connection, new)
        await record_events(connection, consent_changes(new), datetime.now(UTC))
        return new

    return await in_transaction(database, work)


async def _owner(connection: AsyncConnection, profile_id: str) -> str:
    """Whose consent it is, locked: a merge would leave behind what it does not see."""
    while True:
        found = (await profiles.surviving(connection, [profile_id])).get(profile_id)
        if found is None:
            raise NobodyConsents(f"there is no profile {profile_id}")
        held = await profiles.get_batch(connection, [found.id], lock=True)
        if found.id in held and held[found.id].merged_into is None:
            return found.id
