"""`webhook`: JSON to somebody's URL, signed as Standard Webhooks 1.0 says.

    webhook-id         the message's key: the same for every attempt, receivers de-duplicate by it
    webhook-timestamp  seconds since 1970 on the wall clock, of this attempt
    webhook-signature  v1,BASE64(HMAC-SHA256(secret, "{id}.{timestamp}.{body}")), one per secret

(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.)
`WebhookCaller` makes one call; the adapter is the channel on top of it, and the `webhook` step uses it too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from standardwebhooks import Webhook

from channels.errors import Rejected, Unknown
from channels.http import Answer, HttpClient, failure
from channels.message import Message
from channels.pacing import Outcome, alike_together, each
from channels.port import ANY_CHANNEL, Adapter, Capabilities, Settings
from channels.receipt import Accepted, Reason

ANSWER_LIMIT = 8 * 1024
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """A 2xx answer. `json` is None if the body was no JSON or over 8 KB."""

    status: int
    json: Any = field(default=None, repr=False)
    raw: str | None = field(default=None, repr=False)


class WebhookCaller:
    """Calls URLs, signed with every secret given: two while a receiver changes over to a new one.

    Without a secret the calls carry id and timestamp but no signature. `public`: no private network is
    called.
    """

    def __init__(
        self,
        secrets: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.time,
        connections: int = 50,
        public: bool = False,
    ) -> None:
        self._signers = [Webhook(secret) for secret in secrets]
        self._clock = clock
        self._http = HttpClient(timeout=TIMEOUT, connections=connections, public=public)

    def sign(self, key: str, body: bytes) -> dict[str, str]:
        """The Standard Webhooks headers of one attempt made now."""
        moment = datetime.fromtimestamp(int(self._clock()), UTC)
        headers = {"webhook-id": key, "webhook-timestamp": str(int(moment.timestamp()))}
        if self._signers:
            text = body.decode()
            headers["webhook-signature"] = " ".join(s.sign(key, moment, text) for s in self._signers)
        return headers

    async def call(
        self,
        url: str,
        method: str,
        body: Any,
        key: str,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - its phase decides the outcome
        headers: Mapping[str, str] | None = None,
    ) -> WebhookAnswer:
        """Make one attempt. `body`: bytes (UTF-8) as they are, None for none, all else becomes JSON.

        `timeout` in seconds bounds the whole attempt. Raises as `channels.http` says: `Throttled`,
        `Unavailable` and `Unknown` may be repeated with the same key, `Rejected` may not.
        """
        content = encode(body)
        signed = {**(headers or {}), **self.sign(key, content)}
        if body is not None:
            signed["content-type"] = "application/json"
        answer = await self._http.request(
            method,
            url,
            headers=signed,
            content=content or None,
            timeout=timeout,
            body_limit=ANSWER_LIMIT,
        )
        return WebhookAnswer(answer.status, answer.json(), answer.raw)

    async def close(self) -> None:
        await self._http.close()


def encode(body: Any) -> bytes:
    """The bytes that are signed and sent. JSON is compact, UTF-8, keys in the given order."""
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class WebhookSettings(Settings):
    """`channels.webhook.settings`."""

    url: str | None = Field(default=None, description="Where messages go; without it, the profile's address")
    secret: SecretStr = Field(description="Signing secret: `whsec_` and 24 to 64 bytes in base64")
    previous_secret: SecretStr | None = Field(
        default=None, description="The secret before, signed with as well while receivers change over"
    )
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="The HTTP method")
    timeout: float = Field(default=TIMEOUT, gt=0, le=60, description="Seconds for one whole attempt")
    headers: Mapping[str, str] = Field(default_factory=dict, description="Further headers, such as a token")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")
    batch: int = Field(default=1, ge=1, le=1000, description="Messages in one call, as a JSON list")
    allow_private: bool = Field(
        default=False,
        description="Whether `webhook` steps, and messages to an address of the profile, may reach private "
        "networks and this machine",
    )

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with https:// or http://")
        return url

    @field_validator("secret", "previous_secret")
    @classmethod
    def _whsec(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            check_secret(secret.get_secret_value())
        return secret

    def secrets(self) -> list[str]:
        given = [self.secret, self.previous_secret]
        return [s.get_secret_value() for s in given if s is not None]


def _document(message: Message) -> Any:
    """What the part `json` says. Raises `Rejected`."""
    body = message.parts.get("json")
    if body is None:
        raise Rejected(Reason.CONTENT, "a webhook message needs the part json")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Rejected(Reason.CONTENT, "the part json is not JSON") from None


def _accepted(document: object, raw: str | None) -> Accepted:
    provider_id = document.get("id") if isinstance(document, dict) else None
    return Accepted(provider_id if isinstance(provider_id, str) else None, raw)


def _item(said: Mapping[str, Any] | None, raw: str | None) -> Outcome:
    """What a batch's answer says of one message; of one that it leaves out nobody knows."""
    if said is None:
        return Unknown("the answer does not speak of it", raw=raw)
    status = said.get("status", 200)
    if not isinstance(status, int) or isinstance(status, bool):
        return Unknown("the answer's status is no number", raw=raw)
    trouble = failure(Answer(status, {}, b""))
    return _accepted(said, raw) if trouble is None else trouble


def check_secret(secret: str) -> None:
    """Raise ValueError unless this is a Standard Webhooks secret. The error does not show it."""
    expected = "expected whsec_ and then 24 to 64 random bytes in base64"
    if not secret.startswith("whsec_"):
        raise ValueError(expected)
    encoded = secret.removeprefix("whsec_")
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except binascii.Error:
        raise ValueError(expected) from None
    if not 24 <= size <= 64:
        raise ValueError(f"{expected}, not {size}")


class WebhookAdapter(Adapter):
    """Sends the `json` part of a message."""

    name = "webhook"
    channels = ANY_CHANNEL
    capabilities = Capabilities(remote=True, batch=True, idempotent=True, checks_address=True, throttles=True)
    Settings = WebhookSettings
    settings: WebhookSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        # An address of `kairos.yaml` is the operator's; one of a profile may be anybody's.
        public = self.settings.url is None and not self.settings.allow_private
        self._caller = WebhookCaller(
            self.settings.secrets(), connections=self.settings.connections, public=public
        )

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        if self.settings.batch == 1:
            return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.connections)

        def like(message: Message) -> str:
            _document(message)
            return self._url(message)

        return await alike_together(
            messages,
            like,
            self._together,
            most=self.settings.batch,
            pacer=self.pacer,
            at_once=self.settings.connections,
        )

    def _url(self, message: Message) -> str:
        return self.settings.url or message.address

    async def _call(self, messages: Sequence[Message], body: bytes, key: str) -> WebhookAnswer:
        settings = self.settings
        return await self._caller.call(
            self._url(messages[0]), settings.method, body, key, settings.timeout, settings.headers
        )

    async def _one(self, message: Message) -> Accepted:
        _document(message)
        answer = await self._call([message], message.parts["json"].encode(), message.key)
        return _accepted(answer.json, answer.raw)

    async def _together(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        """One call with several messages. A list in the answer speaks of each; else it speaks of all."""
        items = [{"key": message.key, "data": _document(message)} for message in messages]
        key = hashlib.sha256("\n".join(message.key for message in messages).encode()).hexdigest()
        answer = await self._call(messages, encode(items), key)
        if not isinstance(answer.json, list):
            return [_accepted(answer.json, answer.raw)] * len(messages)
        said = {each.get("key"): each for each in answer.json if isinstance(each, dict)}
        return [_item(said.get(message.key), answer.raw) for message in messages]

    async def close(self) -> None:
        await self._caller.close()
