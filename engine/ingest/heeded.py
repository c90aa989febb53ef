"""Which events are looked at, by journeys or by what is followed: the many others need not be routed.

Every send and every end leaves an event. They are stored for histories and counts in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.codec import plan_from_json
from engine.core.plan import Plan
from engine.customers.applied import applied
from engine.customers.followed import OWN_EVENTS, Meaning, meaning_of
from engine.store import derived, plans

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


class Heeded:
    """Names of events that some plan cares about (any that was ever stored, since enrolments keep theirs), or
    that decide who is in a segment that is followed, and the like."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()
        self._meaning = Meaning()

    async def names(self, connection: AsyncConnection) -> frozenset[str]:
        """The names as of this transaction: plans that are stored later see later events only."""
        digests = await plans.digests(connection)
        if missing := digests - self._known:
            found = await plans.by_digest(connection, missing)
            told = (name for plan in found.values() for name in _names(plan_from_json(plan)))
            self._names |= frozenset(told)
            self._known |= frozenset(found)
        if not (followed := await derived.followed(connection)):
            return self._names
        catalogue = (await applied(connection)).catalogue
        if self._meaning.catalogue is not catalogue:
            self._meaning = meaning_of(catalogue)
        asked = self._meaning.needs(self._meaning.standing(followed)).history
        return self._names | (asked.keys() - OWN_EVENTS)


def _names(plan: Plan) -> set[str]:
    names = set(plan.event_names())
    if plan.trigger.event is not None:
        names.add(plan.trigger.event)
    if plan.trigger.unless is not None:
        names.add(plan.trigger.unless.event)
    return names
