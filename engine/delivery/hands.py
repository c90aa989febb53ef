"""What a worker has in hand: no order is worked on twice at the same time in one process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from engine.core.plan import Plan
from engine.delivery.ports import Answer, DeliveryPorts, LiveProject, Order, Place, Retry

BUSY: Final = timedelta(seconds=1)

Work = Callable[[LiveProject, dict[str, Plan], dict[Place, Order]], Awaitable[dict[Place, Answer]]]


async def take_in_hand(ports: DeliveryPorts, orders: Sequence[Order], work: Work) -> list[Answer]:
    """Gives `work` the orders that nobody here is at, with the live project and their plans by digest.

    One answer per order, in order; those that are in hand already, or got no answer, are to be tried again.
    """
    fresh = {order.place: order for order in orders if order.place not in ports.in_hand}
    answers: dict[Place, Answer] = {}
    ports.in_hand.update(fresh)
    try:
        if fresh:
            plans = {digest: await ports.plan(digest) for digest in {o.digest for o in fresh.values()}}
            answers = await work(await ports.project(), plans, fresh)
    finally:
        ports.in_hand.difference_update(fresh)
    return [answers.get(o.place) or Retry(BUSY, "this worker is at it already") for o in orders]
