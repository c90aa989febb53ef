"""Which of a channel's several providers a message goes to: said before the call, and kept on the row.

After an outcome that nobody knows only the same provider may be asked again, whatever its rules say by then.
"""

from __future__ import annotations

from channels.errors import Rejected, Throttled, Unavailable
from channels.message import Message as Outgoing
from channels.routing import OF_THE_PROVIDER, provider_of, with_provider
from engine.delivery.job import Job, Turn


def routed(turn: Turn, job: Job, message: Outgoing) -> Outgoing:
    """The message with its provider, where its channel has several."""
    adapter = turn.ports.adapters[message.channel]
    provider = adapter.route(message, job.tried) if job.bound is None else job.row.provider
    return message if provider is None else with_provider(message, provider)


def another_provider(
    turn: Turn, job: Job, message: Outgoing, outcome: Rejected | Throttled | Unavailable
) -> bool:
    """Whether another provider of the channel may be tried: the first surely did not take the message."""
    if isinstance(outcome, Rejected) and (outcome.reason not in OF_THE_PROVIDER or outcome.permanent):
        return False
    provider = provider_of(message)
    if provider is None or job.bound is not None:
        return False
    job.tried |= {provider}
    return turn.ports.adapters[message.channel].route(message, job.tried) is not None
