"""The port to whoever reads providers' calls: the API itself builds no adapter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from channels.inbound import Call, Heard


@dataclass(frozen=True, slots=True)
class Ear:
    """Who hears the calls of one address. `hear` is `Adapter.hear`; None: its settings are wrong."""

    channel: str
    adapter: str
    hear: Callable[[Call], Awaitable[Heard]] | None


class Hearing(Protocol):
    """Finds who hears at an address, by the settings that are applied now."""

    async def find(self, adapter: str, secret: str) -> Ear | None:
        """None if there is no such address. Takes as long whatever is wrong with it."""
        ...
