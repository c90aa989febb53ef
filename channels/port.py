"""The port: what an adapter is. One adapter object serves one channel of one installation.

    adapter = SmtpAdapter("email", settings, rate=Rate.parse("20/s"))    # checks, opens nothing
    await adapter.open()
    outcomes = await adapter.send(messages)                              # one outcome per message, in order
    await adapter.close()                                                # as often as you like

`send` never raises for what happens on normal days. It may be called from several tasks at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from channels.inbound import Call, Forged, Heard
from channels.limits import Hours, Need, Quota
from channels.message import Message
from channels.pacing import Outcome, Pacer, Rate
from channels.receipt import Receipt
from channels.tokens import MemoryTokens, TokenStore

Sink = Callable[[list[Message]], Awaitable[None]]
"""Where `outbox` keeps messages. Must ignore a message whose key it has already."""

ANY_CHANNEL = frozenset({"*"})


def _says(text: str) -> Any:
    return field(default=False, metadata={"about": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an adapter declares. The feature matrix and the conformance suite both go by this."""

    remote: bool = _says("Talks to a server that can refuse the connection, hang, or drop it")
    batch: bool = _says("Hands several messages to the provider in one call")
    idempotent: bool = _says("The provider honours the message's key: repeating an unknown send is safe")
    can_query: bool = _says("The provider can be asked what became of a send")
    checks_address: bool = _says("A bad address is refused at once")
    throttles: bool = _says("The provider can ask for a pause")
    receipts: bool = _says("The provider reports delivery, bounces or clicks")
    polled: bool = _says("The provider calls nobody and is asked, every few minutes, what became of messages")
    inbound: bool = _says("The provider passes on what people write back")
    one_click_unsubscribe: bool = _says("Carries the one-click way out of RFC 8058")


class Settings(BaseModel):
    """Base of every adapter's settings, frozen, unknown keys refused. A worker checks them at its start.

    `kairos check` does so before, elsewhere and without the environment (`channels.settings`): a rule of one
    setting must not ask what the machine has, except by the types `FilePath` and `DirectoryPath`.
    """

    together: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Settings, by their names in `kairos.yaml`, of which all are given or none."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Adapter(ABC):
    """Our code for one provider."""

    name: ClassVar[str]
    """As in `kairos.yaml`, the docs and the file's name."""
    channels: ClassVar[frozenset[str]]
    """The channels it can serve, or `ANY_CHANNEL`."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    Settings: ClassVar[type[Settings]] = Settings
    hours: ClassVar[Hours | None] = None
    """When its provider takes marketing."""
    quotas: ClassVar[Mapping[str, Quota]] = {}
    """How many messages of a kind one person may get, by kind."""

    def __init__(
        self,
        channel: str,
        settings: Any,
        *,
        rate: Rate | None = None,
        sink: Sink | None = None,
        tokens: TokenStore | None = None,
    ) -> None:
        """`settings` is an instance of this adapter's `Settings`. No I/O here.

        `tokens` is where access tokens are kept for all processes; without it this adapter keeps its own.
        """
        self.channel = channel
        self.settings = settings
        self.pacer = None if rate is None else Pacer(rate)
        self.sink = sink
        self.tokens: TokenStore = MemoryTokens() if tokens is None else tokens

    async def open(self) -> None:  # noqa: B027 - most adapters connect at the first send
        """Get ready. Raises `ConfigurationError`; a provider that is down now is not an error."""

    @abstractmethod
    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        """Hand the messages over; one outcome per message, in order. `channels.pacing.each` helps."""

    def needs(self, message: Message) -> Need | None:
        """The quota that this message draws on, if any. Never raises: what is malformed needs none."""
        return None

    def hours_for(self, address: str, locale: str | None, key: str) -> Hours | None:
        """When marketing to this address leaves; with several providers, by the first choice for it."""
        return self.hours

    def quotas_of(self, provider: str | None) -> Mapping[str, Quota]:
        """The quotas of that provider; `provider` is what `route` said of a message."""
        return self.quotas

    def route(self, message: Message, tried: Collection[str] = ()) -> str | None:
        """Which of several providers is to take this message; `tried` surely did not take it.

        None where there is one provider alone, or none that is left. See `channels.routing`.
        """
        return None

    def capabilities_of(self, provider: str | None) -> Capabilities:
        """What that provider can; `provider` is what `route` said of a message."""
        return self.capabilities

    async def query(self, messages: Sequence[Message]) -> Sequence[Outcome | None]:
        """What became of sends whose outcome is unknown; None where the provider does not know either.

        Only asked of adapters that declare `can_query`.
        """
        return [None for _ in messages]

    async def results(self, provider_ids: Sequence[str]) -> Sequence[Receipt]:
        """What has become of messages that were accepted, as far as the provider knows by now.

        Only asked of adapters that declare `polled`. Raises `ChannelError` if there is no answer now.
        """
        return ()

    def closes_at(self, message: Message) -> datetime | None:
        """The wall instant from which on the provider takes this message no more, where it holds one."""
        return None

    async def hear(self, call: Call) -> Heard:
        """Read a call of the provider. Only asked of adapters that declare `receipts` or `inbound`.

        Raises `Forged` for what does not come from the provider; nothing of it is kept.
        """
        raise Forged(f"{self.name} expects no calls")

    async def close(self) -> None:  # noqa: B027 - nothing to close unless an adapter says so
        """Let go of connections. Closing twice does nothing."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
