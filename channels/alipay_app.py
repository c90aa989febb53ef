"""What a life account and a mini-program of Alipay share: an app with its keys and its addresses."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from channels.alipay_http import (
    Gateway,
    PrivateKey,
    PublicKey,
    read_private_key,
    read_public_key,
)
from channels.errors import Rejected
from channels.http import HttpClient, Url
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Settings
from channels.receipt import Accepted, Reason

_USER_ID = re.compile(r"2088\d{12}")
_OPEN_ID = re.compile(r"[A-Za-z0-9_=-]{8,128}")


class AlipayAppSettings(Settings):
    """What a life account and a mini-program have in common."""

    app_id: str = Field(min_length=1, description="APPID")
    private_key: PrivateKey = Field(description="The app's RSA2 private key, as PEM or in base64")
    alipay_public_key: PublicKey = Field(description="Alipay's public key for this app (not the app's own)")
    url: Url = Field(default="https://openapi.alipay.com/gateway.do", description="The gateway")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")
    sub_codes: Mapping[str, Reason] = Field(
        default_factory=dict, description="Sub codes of refusals that you have met, and their reasons"
    )


class AlipayAppAdapter(Adapter):
    """An app of openapi.alipay.com."""

    settings: AlipayAppSettings

    def __init__(
        self,
        channel: str,
        settings: Any,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        **rest: Any,
    ) -> None:
        super().__init__(channel, settings, **rest)
        own = self.settings
        self.http = HttpClient(timeout=own.timeout, connections=own.connections)
        self.private_key = read_private_key(own.private_key.get_secret_value())
        self.alipay_key = read_public_key(own.alipay_public_key)
        self.gateway = Gateway(
            own.url, own.app_id, self.private_key, self.alipay_key, own.sub_codes, self.http, clock
        )

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self.one, pacer=self.pacer, at_once=self.settings.connections)

    @abstractmethod
    async def one(self, message: Message) -> Accepted: ...

    def whom(self, address: str, open_id: str) -> dict[str, str]:
        """The field that names the person: `to_user_id`, or `open_id` as this interface calls it."""
        if _USER_ID.fullmatch(address):
            return {"to_user_id": address}
        app, slash, own = address.rpartition("/")
        if slash and app != self.settings.app_id:
            raise Rejected(Reason.ADDRESS_INVALID, "an open id of another app")
        if not _OPEN_ID.fullmatch(own):
            raise Rejected(Reason.ADDRESS_INVALID, "neither a user id (2088…) nor an open id")
        return {open_id: own}

    async def close(self) -> None:
        await self.http.close()
