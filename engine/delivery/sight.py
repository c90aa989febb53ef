"""What is read of enrolments and their customers before anything is decided, a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.language.addresses import address_kind, own_address
from engine.language.installation import Installation
from engine.policy import Profile
from engine.store import blocks, consents, suppressions
from engine.store import enrolments as enrolment_rows
from engine.store.enrolments import Enrolment as StoredEnrolment
from engine.store.profiles import Profile as StoredProfile

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


@dataclass(slots=True, kw_only=True)
class Enrolment:
    """`profile_id` is the profile that lives on, also after a merge."""

    id: str
    journey: str
    digest: str
    profile_id: str
    profile_key: str
    external_id: str | None = field(repr=False)
    addresses: Mapping[str, str] = field(repr=False)
    trigger_event_id: str | None
    trigger: Mapping[str, Any] = field(repr=False)
    answers: Mapping[str, Any] = field(repr=False)
    holdout: bool
    entered_at: datetime
    entry_month: date
    step: str | None
    variants: Mapping[str, str]
    profile: StoredProfile = field(repr=False)


async def enrolments(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Enrolment]:
    """Enrolments by id; unknown ids are left out."""
    read = await enrolment_rows.with_profiles(connection, ids)
    return {row.id: of_row(row, profile) for row, profile in read.values()}


async def seen(
    connection: AsyncConnection, ids: Iterable[str], known: Mapping[str, Enrolment] | None
) -> dict[str, Enrolment]:
    """Those that are known, where all of them are; else as `enrolments`."""
    wanted = set(ids)
    if known is not None and wanted <= known.keys():
        return {id: known[id] for id in wanted}
    return await enrolments(connection, wanted)


def of_row(row: StoredEnrolment, profile: StoredProfile) -> Enrolment:
    """An enrolment as it stands in the database, with its customer."""
    return Enrolment(
        id=row.id,
        journey=row.journey,
        digest=row.digest,
        profile_id=profile.id,
        profile_key=row.profile_key,
        external_id=profile.external_id,
        addresses=profile.addresses,
        trigger_event_id=row.trigger_event_id,
        trigger=row.trigger,
        answers=row.answers,
        holdout=row.holdout,
        entered_at=row.entered_at,
        entry_month=row.entry_month,
        step=row.step,
        variants=row.variants,
        profile=profile,
    )


async def policy_profiles(
    connection: AsyncConnection,
    customers: Mapping[str, Enrolment],
    channels: Iterable[str],
    installation: Installation,
) -> dict[str, Profile]:
    """What the rules look at, by profile id. `customers` gives one enrolment per profile id."""
    wanted = sorted(set(channels))
    said = await consents.current(connection, customers)
    dead = await blocks.dead_addresses(connection, customers)
    reached = {
        profile_id: {
            channel: address
            for channel in wanted
            if (
                address := address_for(
                    channel, profile_id, customer.addresses, installation, customer.profile.attributes
                )
            )
        }
        for profile_id, customer in customers.items()
    }
    erased = await suppressions.among(
        connection, {(address_kind(c), address) for own in reached.values() for c, address in own.items()}
    )
    profiles = {}
    for profile_id, addresses in reached.items():
        granted = {
            (channel, category): word
            for channel in wanted
            for category in ("marketing", "transactional")
            if (word := said[profile_id].granted(channel, category)) is not None
        }
        narrowed = {
            (channel, category, purpose): word
            for channel in wanted
            for category in ("marketing", "transactional")
            for purpose in said[profile_id].purposes(category)
            if (word := said[profile_id].granted(channel, category, purpose)) is not None
        }
        gone = dead.get(profile_id, set())
        blocked = frozenset(
            c
            for c, address in addresses.items()
            if (c, address_digest(address)) in gone or (address_kind(c), address) in erased
        )
        profiles[profile_id] = Profile(addresses, granted, blocked, narrowed)
    return profiles


def address_for(
    channel: str,
    profile_id: str,
    addresses: Mapping[str, str],
    installation: Installation,
    attributes: Mapping[str, object] = MappingProxyType({}),
) -> str | None:
    """Where this channel reaches the customer, or None."""
    own = addresses.get(address_kind(channel)) or own_address(channel, attributes)
    if own:
        return own
    if channel != "webhook":
        return None
    # A system, not a person: it is reached for every customer, at the channel's own URL.
    url = installation.channel(channel).settings.get("url")
    return url if isinstance(url, str) else profile_id


def address_digest(address: str) -> str:
    """Names an address without telling it."""
    return hashlib.sha256(address.encode()).hexdigest()[:32]
