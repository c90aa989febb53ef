"""What becomes of messages of providers that call nobody: they are asked, now and then."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from channels.errors import ChannelError
from engine.delivery.ports import DeliveryPorts
from engine.delivery.receipts import receive
from engine.store import deliveries

log = logging.getLogger(__name__)

LONGEST: Final = timedelta(days=31)
"""A provider that has said nothing for so long says nothing more."""


async def poll(ports: DeliveryPorts, limit: int = 1000) -> int:
    """Asks the adapters that are `polled` about every accepted message of the last month, and applies what
    they say; returns how many receipts were about one of ours.

    A provider that gives no answer is asked again another time; the same answer twice changes nothing.
    """
    received = 0
    for channel, adapter in sorted(ports.adapters.items()):
        if not adapter.capabilities.polled:
            continue
        after = ""
        while True:
            async with ports.database.connect() as connection:
                since = datetime.now(UTC) - LONGEST
                ids = await deliveries.awaited(connection, channel, since, after, limit)
            if not ids:
                break
            after = ids[-1]
            try:
                receipts = await adapter.results(ids)
            except ChannelError as error:
                log.warning("%s could not be asked: %s", channel, error)
                break
            received += await receive(ports, receipts)
    return received
