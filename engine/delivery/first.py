"""First messages to those who have just done something after which a provider lets us write for seconds.

A workflow would send it too, but waits its turn at Temporal behind all who came with it. So it is sent as
soon as the entry is committed, by the same rules and on the same row; the workflow finds the row settled and
goes on with its outcome, or finds nothing and sends. Whatever goes wrong here is left to it.

Only for journeys that begin with a message: nothing that comes before it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from engine.core.plan import Message, Plan
from engine.delivery.deliver import deliver
from engine.delivery.ports import DeliveryPorts, Order
from engine.language.channel_events import HURRIED
from engine.store import starts

FRESH: Final = timedelta(seconds=30)
"""Older starts are the workflow's."""
BATCH: Final = 64


def hurried(plans: Iterable[Plan]) -> dict[str, frozenset[str]]:
    """Journeys that begin with a message after such an event, to the channels it may go by."""
    found: dict[str, frozenset[str]] = {}
    for plan in plans:
        step = plan.steps.get(plan.first or "")
        if plan.trigger.event in HURRIED and plan.run_as == "workflow" and isinstance(step, Message):
            found[plan.journey] = found.get(plan.journey, frozenset()) | set(step.channels)
    return found


@dataclass(slots=True)
class First:
    """Sends first messages; remembers whom it has tried, for `starts` stay open until they are played."""

    ports: DeliveryPorts
    journeys: Mapping[str, frozenset[str]]
    _tried: dict[str, float] = field(default_factory=dict)

    async def send(self) -> int:
        """Sends to whoever has just come; returns how many were tried."""
        long_ago = monotonic() - 2 * FRESH.total_seconds()
        self._tried = {id: at for id, at in self._tried.items() if at > long_ago}
        async with self.ports.database.connect() as connection:
            rows = await starts.fresh_starts(
                connection, sorted(self.journeys), FRESH, list(self._tried), BATCH
            )
        now = monotonic()
        self._tried |= {row.enrolment_id: now for row in rows}
        orders = [order for row in rows if (order := await self._order(row)) is not None]
        if orders:
            await deliver(self.ports, orders)
        return len(rows)

    async def _order(self, row: starts.Start) -> Order | None:
        plan = await self.ports.plan(row.payload["digest"])
        step = plan.steps.get(plan.first or "")
        if not isinstance(step, Message):
            return None
        return Order(
            enrolment_id=row.enrolment_id,
            journey=row.journey,
            digest=row.payload["digest"],
            step=step.id,
            at=datetime.fromisoformat(row.payload["entered_at"]),
        )
