"""`outbox`: keeps messages where people can look at them, and sends nothing. The default everywhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from channels.errors import ConfigurationError, Unknown
from channels.message import Message
from channels.pacing import Outcome
from channels.port import ANY_CHANNEL, Adapter, Capabilities
from channels.receipt import Accepted

log = logging.getLogger("channels.outbox")


class OutboxAdapter(Adapter):
    """Hands each batch to the sink in one call."""

    name = "outbox"
    channels = ANY_CHANNEL
    capabilities = Capabilities(batch=True, idempotent=True)

    async def open(self) -> None:
        if self.sink is None:
            raise ConfigurationError(f"channels.{self.channel}: outbox needs a sink to keep messages in")

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        if not messages:
            return []
        if self.pacer is not None:
            for _ in messages:
                await self.pacer.take()
        try:
            if self.sink is None:
                raise ConfigurationError("outbox was not opened")
            await self.sink(list(messages))
        except ConfigurationError:
            raise
        except Exception as fault:
            # A commit may have gone through although its answer did not: the key makes repeating safe.
            log.error("the sink of %s failed: %s", self.channel, type(fault).__name__)
            return [Unknown(f"the sink failed: {type(fault).__name__}") for _ in messages]
        return [Accepted(m.key) for m in messages]
