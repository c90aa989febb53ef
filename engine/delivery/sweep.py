"""What nobody came back for: open rows of workers that died, while their orders are never given again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.delivery.job import Turn
from engine.delivery.leftover import DEAD_AFTER, Leftovers
from engine.delivery.ports import DeliveryPorts, Order
from engine.delivery.record import assumed_sent, record_said
from engine.store import deliveries, enrolments
from engine.store.database import in_transaction

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


async def sweep(ports: DeliveryPorts, limit: int = 1000) -> int:
    """Settles `sending` rows that were left behind, or gives them back for another try; returns how many.

    `claimed` rows need nothing: whoever comes next takes them over. A row that may be repeated waits for its
    order, which its driver gives again.
    """
    project = await ports.project()

    async def work(connection: AsyncConnection) -> int:
        rows = [
            row
            for row in await deliveries.stale(connection, DEAD_AFTER, limit)
            if row.state == "sending" and (row.enrolment_id, row.step) not in ports.in_hand
        ]
        turn = Turn(ports, project, {})
        leftovers = await Leftovers.find(connection, turn, rows)
        await leftovers.write(connection)
        known = await enrolments.get_batch(
            connection, {row.enrolment_id for row in leftovers.unknown.values()}
        )
        said = []
        for row in leftovers.unknown.values():
            digest = known[row.enrolment_id].digest
            order = Order(
                enrolment_id=row.enrolment_id, journey=row.journey, digest=digest, step=row.step, at=row.at
            )
            said.append(assumed_sent(row, order, ports.at(row.at)))
        await record_said(connection, said, ports.heeded)
        return len(leftovers.repeat) + len(leftovers.unknown)

    return await in_transaction(ports.database, work)
