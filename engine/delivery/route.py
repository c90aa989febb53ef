"""Which of a channel's several providers a message goes to: said before the call, and kept on the row.

After an outcome that nobody knows only the same provider may be asked again, whatever its rules say by then.
"""

from __future__ import annotations

from collections.abc import Iterable

from channels.errors import Rejected, Throttled, Unavailable
from channels.message import Message as Outgoing
from channels.routing import OF_THE_PROVIDER, Routing, provider_of, with_provider
from engine.core.limits import Hours
from engine.delivery.job import Job, Turn


def routed(turn: Turn, job: Job, message: Outgoing) -> Outgoing:
    """The message with its provider, where its channel has several."""
    adapter = turn.ports.adapters[message.channel]
    provider = adapter.route(message, job.tried) if job.bound is None else job.row.provider
    return message if provider is None else with_provider(message, provider)


def hours_of(turn: Turn, job: Job, channels: Iterable[str]) -> dict[str, Hours]:
    """When marketing leaves by those channels that have several providers: as the first choice takes it."""
    locale = job.enrolment.profile.locale or turn.project.installation.locale
    found = {}
    for channel in channels:
        adapter, address = turn.ports.adapters.get(channel), job.profile.addresses.get(channel)
        if isinstance(adapter, Routing) and address:
            hours = adapter.hours_for(address, locale, job.row.key)
            if hours is not None:
                found[channel] = Hours(hours.opens, hours.closes, zone=hours.zone)
    return found


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
