"""An adapter that takes every message at once: what is left is what the engine costs.

`adapter: benchmarks.null:NullAdapter` in `kairos.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence

from channels import ANY_CHANNEL, Accepted, Adapter, Capabilities, Message, Outcome


class NullAdapter(Adapter):
    """Accepts, and forgets."""

    name = "null"
    channels = ANY_CHANNEL
    capabilities = Capabilities(batch=True, idempotent=True)

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return [Accepted() for _ in messages]
