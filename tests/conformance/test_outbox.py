"""`outbox` keeps to the port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.outbox import OutboxAdapter
from channels.testing import MemorySink
from channels.testing.conformance import AdapterConformance, Provider, Taken


class OutboxProvider(Provider):
    def __init__(self) -> None:
        self.memory = MemorySink()
        self.sink = self.memory

    def settings(self) -> Mapping[str, Any]:
        return {}

    def address(self, n: int) -> str:
        return f"+861380000{n:04}"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"text": words}

    def taken(self) -> Sequence[Taken]:
        return [Taken(m.key, m.parts["text"]) for m in self.memory.messages.values()]


class TestOutbox(AdapterConformance):
    adapter = OutboxAdapter
    channel = "sms"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        yield OutboxProvider()
