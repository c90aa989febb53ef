"""From "send this step's message" to a settled record of it.

A delivery is one row, unique by (enrolment, step). An order is claimed, judged, rendered, marked `sending`
in a transaction committed just before the call, handed to the adapter, settled. A settled row answers again
with its old outcome, so repeats, resets and restarts are harmless. `docs/delivery-states.md` draws it.

Everything takes a batch and costs one statement a batch and state; the order of a batch is kept.

May import `engine.policy`, `engine.content`, `engine.customers`, `engine.store`, `engine.core`,
`engine.language`, and the port of `channels`.
"""

from engine.delivery.answers import AskOrder, answer
from engine.delivery.deliver import deliver
from engine.delivery.polling import poll
from engine.delivery.ports import (
    Answer,
    Clock,
    DeliveryPorts,
    LiveProject,
    Order,
    Redirect,
    Retry,
)
from engine.delivery.receipts import receive
from engine.delivery.sweep import sweep

__all__ = [
    "Answer",
    "AskOrder",
    "Clock",
    "DeliveryPorts",
    "LiveProject",
    "Order",
    "Redirect",
    "Retry",
    "answer",
    "deliver",
    "poll",
    "receive",
    "sweep",
]
