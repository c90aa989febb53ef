"""An adapter without a provider, whose outcomes a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from channels.errors import Unknown
from channels.message import Message
from channels.pacing import Outcome
from channels.port import ANY_CHANNEL, Adapter, Capabilities, Settings
from channels.receipt import Accepted


class FakeAdapter(Adapter):
    """Accepts everything, unless told otherwise. Keeps what it was handed.

    `attempts` has every message of every call in order; `taken` the messages that were accepted or whose
    outcome is `Unknown`, once per key.
    """

    name = "fake"
    channels = ANY_CHANNEL
    capabilities = Capabilities(batch=True, idempotent=True, can_query=True)

    def __init__(
        self,
        channel: str = "email",
        settings: Any = None,
        *,
        capabilities: Capabilities | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(channel, Settings() if settings is None else settings, **rest)
        if capabilities is not None:
            self.capabilities = capabilities  # type: ignore[misc]
        self.attempts: list[Message] = []
        self.taken: dict[str, Message] = {}
        self.opened = self.closed = 0
        self._next: list[Outcome | Callable[[Message], Outcome]] = []
        self._always: Callable[[Message], Outcome] = lambda message: Accepted(message.key)
        self._answers: list[Outcome | None] = []
        self.asked = 0

    def then(self, *outcomes: Outcome | Callable[[Message], Outcome]) -> None:
        """Use these for the next messages, one each, in order."""
        self._next.extend(outcomes)

    def always(self, outcome: Outcome | Callable[[Message], Outcome]) -> None:
        """Use this for every message for which `then` left nothing."""
        self._always = outcome if callable(outcome) else lambda _: outcome

    def answers(self, *outcomes: Outcome | None) -> None:
        """Use these for the next messages that are asked after; then what was taken counts."""
        self._answers.extend(outcomes)

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return [self._one(message) for message in messages]

    async def query(self, messages: Sequence[Message]) -> Sequence[Outcome | None]:
        self.asked += 1
        return [
            self._answers.pop(0) if self._answers else Accepted(m.key) if m.key in self.taken else None
            for m in messages
        ]

    def _one(self, message: Message) -> Outcome:
        self.attempts.append(message)
        chosen = self._next.pop(0) if self._next else self._always
        outcome = chosen(message) if callable(chosen) else chosen
        if isinstance(outcome, Accepted | Unknown):
            self.taken.setdefault(message.key, message)
        return outcome


class MemorySink:
    """A sink for `outbox` that keeps each key once, in order of arrival."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}

    async def __call__(self, messages: list[Message]) -> None:
        for message in messages:
            self.messages.setdefault(message.key, message)
