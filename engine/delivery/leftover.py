"""Rows that say `sending` although nobody sends any more: their worker ended in the middle of a call.

Nobody knows whether the call was made. Where the adapter honours our key, or the channel says
`on_unknown: retry`, it is made again, by the same channel; where the provider can be asked, it is asked;
everywhere else the row is settled as unknown and counts as sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from engine.delivery.asking import can_be_asked
from engine.delivery.job import PERHAPS_SENT, Turn
from engine.delivery.settle import MOST_UNKNOWN, may_repeat
from engine.store import delivery_states, workers
from engine.store.deliveries import Delivery, DeliveryKey
from engine.store.delivery_states import Settlement

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

DEAD_AFTER: Final = timedelta(seconds=15)
"""A worker that has not been seen for so long is dead."""
LOST_AFTER: Final = timedelta(seconds=90)
"""A `sending` this old is left behind whoever owns it: no call takes so long."""
REASON: Final = f"{PERHAPS_SENT}: its worker ended during the call"


@dataclass(slots=True)
class Leftovers:
    repeat: dict[DeliveryKey, Delivery] = field(default_factory=dict)
    unknown: dict[DeliveryKey, Delivery] = field(default_factory=dict)

    @classmethod
    async def find(cls, connection: AsyncConnection, turn: Turn, rows: Sequence[Delivery]) -> Self:
        """Those of `rows` that were left behind. A row of this worker itself is: it is not in hand."""
        found = cls()
        sending = [row for row in rows if row.state == "sending"]
        if not sending:
            return found
        alive = await workers.alive(connection, DEAD_AFTER)
        for row in sending:
            if not _left_behind(row, turn.ports.worker_id, alive):
                continue
            again = row.attempts < MOST_UNKNOWN and (
                may_repeat(turn.ports, turn.project, row.channel, row.provider)
                or can_be_asked(turn.ports.adapters.get(row.channel or ""), row.provider)
            )
            (found.repeat if again else found.unknown)[row.row_key] = row
        return found

    async def write(self, connection: AsyncConnection) -> None:
        """Gives back what may be repeated, settles the rest."""
        changes = [_change(row, "claimed") for row in self.repeat.values()]
        changes += [_change(row, "unknown") for row in self.unknown.values()]
        await delivery_states.settle_batch(connection, changes)


def _left_behind(row: Delivery, worker_id: str, alive: dict[str, str]) -> bool:
    if row.owner == worker_id:
        return True
    since = datetime.now(UTC) - (row.sending_at or row.created_at)
    if row.owner in alive:
        return since > LOST_AFTER
    # A worker that never said it was alive gets the same patience as one that stopped saying so.
    return since > DEAD_AFTER


def _change(row: Delivery, state: str) -> Settlement:
    passed_over = tuple((channel, reason) for channel, reason in row.passed_over)
    return Settlement(row.row_key, row.attempts, state, row.channel, reason=REASON, passed_over=passed_over)
