"""A person asks what is kept about them, or that it goes.

Erasing ends what runs (exit `unsubscribed`), deletes who they are and the contents of what happened, and
keeps digests of their addresses, so that nothing is sent there again. Numbers stay: events, enrolments and
messages are still counted, and lead to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engine.core.identity import workflow_id
from engine.core.inputs import Control
from engine.core.wire import to_json
from engine.ingest.close import end_enrolments
from engine.ingest.wakes import Wake, starts_of
from engine.store import clock, enrolments, erasing, identities, jobs, profiles, starts, suppressions
from engine.store.database import in_transaction
from engine.store.enrolments import End, Enrolment
from engine.store.identities import Identity
from engine.store.routing import hold_shards
from engine.store.shards import shard_of

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

PATIENCE: Final = 30.0
"""Wall seconds that erasing waits for messages that are just being sent."""
_LOOK: Final = 0.2
_NO_ADDRESS: Final = frozenset({"external_id", "anonymous_id", "device_id", "member_number"})


class NobodyToErase(LookupError):
    """There is no profile with this id."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done. `touched` counts rows by table; `sending` messages were under way to the last."""

    profile_id: str
    ended: int
    suppressed: int
    touched: dict[str, int]
    sending: int = 0


@dataclass(frozen=True, slots=True)
class _Person:
    profile_ids: list[str]
    enrolment_ids: list[str]
    own: list[Identity] = field(repr=False)


async def export_person(connection: AsyncConnection, profile_id: str) -> dict[str, Any]:
    """Everything that is kept about a person, also under profiles that were merged.

    Raises:
        NobodyToErase: there is none.
    """
    person = await _person(connection, profile_id)
    return {
        "exported_at": datetime.now(UTC).isoformat(),
        "profile_ids": person.profile_ids,
        **await erasing.export(connection, person.profile_ids, person.enrolment_ids, person.own),
    }


async def erase_person(
    database: AsyncEngine, profile_id: str, by: str | None = None, patience: float = PATIENCE
) -> Erased:
    """Erases a person. The same again changes nothing, and says that there is nobody.

    A message that a worker is just sending is waited for, and what it leaves behind is erased too.

    Raises:
        NobodyToErase: there is none.
    """
    person, done = await in_transaction(database, lambda c: _erase(c, profile_id, by))
    waited = 0.0
    while True:
        async with database.connect() as connection:
            sending = await erasing.open_sends(connection, person.enrolment_ids)
        if not sending or waited >= patience:
            break
        await asyncio.sleep(_LOOK)
        waited += _LOOK

    async def finish(connection: AsyncConnection) -> None:
        await erasing.erase(connection, person.profile_ids, person.enrolment_ids, person.own)
        await jobs.forget_files(connection)

    await in_transaction(database, finish)
    return Erased(profile_id, done.ended, done.suppressed, done.touched, sending)


async def erase_leftovers(database: AsyncEngine) -> int:
    """Goes over who was erased of late: a worker in the middle of something may have written after it.

    Returns how many there were.
    """
    async with database.connect() as connection:
        recent = await erasing.recent(connection)
    for profile_id, enrolment_ids in recent:
        await in_transaction(
            database,
            lambda c, p=profile_id, e=enrolment_ids: erasing.erase(c, [p], e, []),  # type: ignore[misc]
        )
    return len(recent)


async def _erase(connection: AsyncConnection, profile_id: str, by: str | None) -> tuple[_Person, Erased]:
    person = await _person(connection, profile_id)
    await hold_shards(connection, {shard_of(each) for each in person.profile_ids})
    now = (await clock.load(connection)).now()
    live = await enrolments.live_for_profiles(connection, person.profile_ids)
    ends = [End(each.id, "unsubscribed", max(now, each.entered_at)) for each in live]
    await end_enrolments(connection, ends, datetime.now(UTC))
    known = await profiles.get_batch(connection, person.profile_ids)
    addresses = {(k, v) for each in known.values() for k, v in each.addresses.items()} | set(person.own)
    everything = sorted(addresses)
    suppressed = await suppressions.add_batch(
        connection, [identity for identity in everything if identity[0] not in _NO_ADDRESS]
    )
    complete = _Person(person.profile_ids, person.enrolment_ids, everything)
    touched = await erasing.erase(connection, person.profile_ids, person.enrolment_ids, everything)
    # After the contents are gone, so that what is left to play is the end alone.
    await starts.add_batch(connection, starts_of(_ended(live, now)))
    await erasing.note(connection, person.profile_ids, person.enrolment_ids, now, by)
    return complete, Erased(profile_id, len(live), suppressed, touched)


async def _person(connection: AsyncConnection, profile_id: str) -> _Person:
    survivor = (await profiles.surviving(connection, [profile_id])).get(profile_id)
    if survivor is None:
        raise NobodyToErase(f"there is no profile {profile_id}")
    held = await erasing.hold(connection, survivor.id)
    listed = await identities.of_profiles(connection, held)
    own = [identity for each in listed.values() for identity in each]
    return _Person(held, await erasing.enrolments_of(connection, held), own)


def _ended(live: Sequence[Enrolment], now: datetime) -> list[Wake]:
    return [
        Wake(
            each.id,
            each.workflow_id or workflow_id(each.journey, each.id),
            "control",
            to_json(Control("end", max(now, each.entered_at), "unsubscribed")),
            each.driver,
        )
        for each in live
    ]
