"""Which events journeys look at, so that the many that nobody looks at need not be routed.

Every send and every end leaves an event. They are stored for histories and counts in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.codec import plan_from_json
from engine.core.plan import Plan
from engine.store import plans

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


class Heeded:
    """Names of events that some plan cares about: any that was ever stored, since enrolments keep theirs."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()

    async def names(self, connection: AsyncConnection) -> frozenset[str]:
        """The names as of this transaction: plans that are stored later see later events only."""
        digests = await plans.digests(connection)
        if missing := digests - self._known:
            found = await plans.by_digest(connection, missing)
            told = (name for plan in found.values() for name in _names(plan_from_json(plan)))
            self._names |= frozenset(told)
            self._known |= frozenset(found)
        return self._names


def _names(plan: Plan) -> set[str]:
    names = set(plan.event_names())
    if plan.trigger.event is not None:
        names.add(plan.trigger.event)
    if plan.trigger.unless is not None:
        names.add(plan.trigger.unless.event)
    return names
