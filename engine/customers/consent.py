"""Consent: what a customer agreed to, and what that means for expressions and for leaving journeys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from engine.store import consents
from engine.store.connection import AsyncConnection
from engine.store.consents import EVERY_CHANNEL, EVERY_PURPOSE, Consent, CurrentConsents


async def record(connection: AsyncConnection, entries: Sequence[Consent]) -> dict[str, CurrentConsents]:
    """Adds entries to the ledger; returns the current consents of the profiles they are about."""
    await consents.add_batch(connection, entries)
    return await consents.current(connection, {entry.profile_id for entry in entries})


def all_withdrawn(current: CurrentConsents, rule: str = "opt_in", category: str = "marketing") -> bool:
    """Whether something was recorded, and nothing is allowed any more: live enrolments end `unsubscribed`.

    `rule` is the installation's for the category. Where it is not `opt_in`, silence means yes, so that only
    a word on every channel withdraws all.
    """
    said = current.answers(category)
    if rule != "opt_in" and (EVERY_CHANNEL, EVERY_PURPOSE) not in said:
        return False
    return bool(said) and not any(said.values())


async def granted(
    connection: AsyncConnection,
    profile_ids: Iterable[str],
    rule: str = "opt_in",
    at: datetime | None = None,
) -> dict[str, dict[str, bool]]:
    """Marketing consents as `consent(channel)` reads them: profile to channel to answer, `*` for the rest.

    `rule` is the installation's for marketing: unless it is `opt_in`, silence means yes.
    """
    found = await consents.current(connection, profile_ids, at)
    silence = {} if rule == "opt_in" else {EVERY_CHANNEL: True}
    return {profile_id: {**silence, **current.channels()} for profile_id, current in found.items()}
