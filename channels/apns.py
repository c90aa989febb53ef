"""`apns`: app push through Apple, by HTTP/2 with provider tokens.

    POST /3/device/TOKEN    {"aps": {"alert": {"title": …, "body": …}}}

The token is a JWT signed by the team's key; Apple wants it no older than an hour and no newer than every 20
minutes. Apple de-duplicates nothing, but a repeat carries the same `apns-collapse-id` and replaces the first
on the device. (https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns)
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Self

import httpx
from pydantic import Field, FilePath, SecretStr, field_validator, model_validator

from channels.codes import DOWN, Meaning, later, refused, told
from channels.errors import ConfigurationError, Rejected, Unavailable, Unknown
from channels.http import BODY_LIMIT, Answer, Url
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Capabilities, Settings
from channels.push import collapse_id, title_and_body
from channels.receipt import Accepted, Reason
from channels.signed_tokens import SigningKey, TokenCache, jwt, signing_key

HOSTS = {"production": "https://api.push.apple.com", "sandbox": "https://api.sandbox.push.apple.com"}
LARGEST = 4096
LIFE = timedelta(minutes=40).total_seconds()
IDLE = 60.0
"""Seconds for which a connection that nobody uses stays open."""
_TOKEN = re.compile(r"[0-9a-fA-F]{64,200}")
_NAMES = uuid.UUID("5c2b0d4e-6a0e-5b7c-9a53-0c8f6f7f5f5e")

CODES: Mapping[str, Meaning] = {
    "BadDeviceToken": refused(Reason.ADDRESS_INVALID, permanent=True),
    "DeviceTokenNotForTopic": refused(Reason.ADDRESS_INVALID, permanent=True),
    "MissingDeviceToken": refused(Reason.ADDRESS_INVALID, permanent=True),
    "Unregistered": refused(Reason.ADDRESS_UNKNOWN, permanent=True),
    "ExpiredToken": refused(Reason.ADDRESS_UNKNOWN, permanent=True),
    "PayloadEmpty": refused(Reason.CONTENT),
    "PayloadTooLarge": refused(Reason.TOO_LARGE),
    "BadCollapseId": refused(Reason.CONTENT),
    "BadTopic": refused(Reason.CREDENTIALS),
    "MissingTopic": refused(Reason.CREDENTIALS),
    "TopicDisallowed": refused(Reason.CREDENTIALS),
    "BadEnvironmentKeyIdInToken": refused(Reason.CREDENTIALS),
    "ExpiredProviderToken": refused(Reason.CREDENTIALS),
    "InvalidProviderToken": refused(Reason.CREDENTIALS),
    "MissingProviderToken": refused(Reason.CREDENTIALS),
    "Forbidden": refused(Reason.CREDENTIALS),
    "TooManyRequests": later(60),
    "TooManyProviderTokenUpdates": later(1200),
    "InternalServerError": DOWN,
    "ServiceUnavailable": DOWN,
    "Shutdown": DOWN,
}


class ApnsSettings(Settings):
    """`channels.push.settings`."""

    team_id: str = Field(pattern=r"^[0-9A-Z]{10}$", description="The team's id, ten characters")
    key_id: str = Field(pattern=r"^[0-9A-Z]{10}$", description="The key's id, ten characters")
    key: SecretStr | None = Field(default=None, description="The key, the whole text of the .p8 file")
    key_file: FilePath | None = Field(default=None, description="Or the file that holds it")
    topic: str = Field(min_length=1, description="The app's bundle id")
    environment: Literal["production", "sandbox"] = Field(
        default="production", description="Which of Apple's servers: `sandbox` is for apps run from Xcode"
    )
    endpoint: Url | None = Field(default=None, description="Another server, instead of Apple's")
    sound: str | None = Field(default="default", description="What the device plays; empty for silence")
    ttl: int | None = Field(
        default=None,
        ge=0,
        description="Seconds to keep trying a device that is off; Apple's choice by default",
    )
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(
        default=2, ge=1, le=20, description="Connections at most; each carries many calls"
    )
    at_once: int = Field(default=100, ge=1, le=1000, description="Calls at most at once")

    @field_validator("key")
    @classmethod
    def _readable(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            signing_key(key.get_secret_value())
        return key

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("expected either `key` or `key_file`")
        return self


class ApnsAdapter(Adapter):
    """Many calls at once over few connections."""

    name = "apns"
    channels = frozenset({"push"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True)
    Settings = ApnsSettings
    settings: ApnsSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._url = self.settings.endpoint or HOSTS[self.settings.environment]
        self._client: httpx.AsyncClient | None = None
        self._key: SigningKey | None = None
        self._tokens = TokenCache(self._new_token)

    async def open(self) -> None:
        self._key = self._read()

    def _read(self) -> SigningKey:
        if self.settings.key is not None:
            return signing_key(self.settings.key.get_secret_value())
        assert self.settings.key_file is not None
        try:
            return signing_key(self.settings.key_file.read_text("utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"channels.{self.channel}.settings.key_file: {error}") from None

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.at_once)

    async def _one(self, message: Message) -> Accepted:
        if not _TOKEN.fullmatch(message.address):
            raise Rejected(Reason.ADDRESS_INVALID, "not a device token", permanent=True)
        content = self._content(message)
        token = await self._tokens.get()
        answer = await self._call(message, content, token)
        if _reason(answer) == "ExpiredProviderToken":  # our clock and Apple's differ: surely not taken
            self._tokens.refuse(token)
            answer = await self._call(message, content, await self._tokens.get())
        if answer.status == 200:
            return Accepted(_id(message.key), answer.raw)
        raise told(CODES, answer, _reason(answer)) or Rejected(Reason.OTHER, raw=answer.raw)

    def _content(self, message: Message) -> bytes:
        title, body = title_and_body(message)
        aps: dict[str, Any] = {"alert": {"title": title, "body": body} if title else {"body": body}}
        if self.settings.sound:
            aps["sound"] = self.settings.sound
        content = json.dumps({"aps": aps}, ensure_ascii=False).encode()
        if len(content) > LARGEST:
            raise Rejected(Reason.TOO_LARGE, f"over {LARGEST} bytes")
        return content

    async def _call(self, message: Message, content: bytes, token: str) -> Answer:
        headers = {
            "authorization": f"bearer {token}",
            "apns-topic": self.settings.topic,
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-id": _id(message.key),
            "apns-collapse-id": collapse_id(message.key),
            "content-type": "application/json",
        }
        if self.settings.ttl is not None:
            headers["apns-expiration"] = (
                str(int(time.time()) + self.settings.ttl) if self.settings.ttl else "0"
            )
        left = False

        async def watch(event: str, _: object) -> None:
            nonlocal left
            left = left or event == "http2.send_request_headers.started"

        try:
            response = await self._open().post(
                f"{self._url}/3/device/{message.address}",
                content=content,
                headers=headers,
                extensions={"trace": watch},
            )
        except httpx.HTTPError as error:
            kind = type(error).__name__
            if left:
                raise Unknown(f"{kind} after the request had left") from None
            raise Unavailable(f"{kind} before the request had left") from None
        return Answer(response.status_code, response.headers, response.content[:BODY_LIMIT])

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            connections = self.settings.connections
            self._client = httpx.AsyncClient(
                http1=False,
                http2=True,
                timeout=self.settings.timeout,
                # Apple wants connections kept, and takes many short ones for an attack.
                limits=httpx.Limits(
                    max_connections=connections,
                    max_keepalive_connections=connections,
                    keepalive_expiry=IDLE,
                ),
                trust_env=False,
            )
        return self._client

    async def _new_token(self) -> tuple[str, float]:
        if self._key is None:
            self._key = self._read()
        claims = {"iss": self.settings.team_id, "iat": int(time.time())}
        return jwt(self._key, claims, kid=self.settings.key_id), LIFE

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _id(key: str) -> str:
    """The notification's name at Apple: the same for every attempt."""
    return str(uuid.uuid5(_NAMES, key))


def _reason(answer: Answer) -> object:
    document = answer.json()
    return document.get("reason") if isinstance(document, dict) else None
