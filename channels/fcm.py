"""`fcm`: app push through Firebase Cloud Messaging, HTTP v1.

    POST /v1/projects/PROJECT/messages:send    {"message": {"token": …, "notification": {…}}}

Authorised by an access token that lives an hour, for which a JWT signed by the service account is exchanged
(https://developers.google.com/identity/protocols/oauth2/service-account). One device a call: Google switched
its batch endpoint off in 2024. Nothing de-duplicates, but a repeat carries the same tag and replaces the
first on the device (https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlencode

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from channels.codes import DOWN, Meaning, Trouble, later, meaning, refused, told, word
from channels.errors import ConfigurationError, Rejected, Unavailable, Unknown
from channels.http import Answer, HttpClient, Url
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Capabilities, Settings
from channels.push import collapse_id, title_and_body
from channels.receipt import Accepted, Reason
from channels.signed_tokens import SigningKey, TokenCache, jwt, signing_key

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LARGEST = 4096
"""Bytes of what the message shows."""
LIFE = 3600
EARLY = 300
"""Seconds before its end in which a token is no longer used."""

CODES: Mapping[str, Meaning] = {
    "UNREGISTERED": refused(Reason.ADDRESS_UNKNOWN, permanent=True),
    "SENDER_ID_MISMATCH": refused(Reason.ADDRESS_INVALID, permanent=True),
    "INVALID_ARGUMENT": refused(Reason.CONTENT),
    "THIRD_PARTY_AUTH_ERROR": refused(Reason.CREDENTIALS),
    "UNAUTHENTICATED": refused(Reason.CREDENTIALS),
    "PERMISSION_DENIED": refused(Reason.CREDENTIALS),
    "NOT_FOUND": refused(Reason.CREDENTIALS),
    "QUOTA_EXCEEDED": later(60),
    "RESOURCE_EXHAUSTED": later(60),
    "UNAVAILABLE": DOWN,
    "INTERNAL": DOWN,
}


class ServiceAccount(BaseModel):
    """What we need of the JSON key of a service account."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    project_id: str = Field(min_length=1)
    client_email: str = Field(min_length=1)
    private_key: SecretStr
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"


class FcmSettings(Settings):
    """`channels.push.settings`."""

    service_account: SecretStr | None = Field(
        default=None, description="The service account's key, the whole JSON"
    )
    service_account_file: FilePath | None = Field(default=None, description="Or the file that holds it")
    endpoint: Url = Field(default="https://fcm.googleapis.com", description="Where the API lives")
    ttl: int | None = Field(
        default=None, ge=0, le=2419200, description="Seconds to keep trying a device that is off; 4 weeks"
    )
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=32, ge=1, le=500, description="Connections at most at once")

    @field_validator("service_account")
    @classmethod
    def _readable(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            read_account(key.get_secret_value())
        return key

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        if (self.service_account is None) == (self.service_account_file is None):
            raise ValueError("expected either `service_account` or `service_account_file`")
        return self


def read_account(text: str) -> ServiceAccount:
    """Raises ValueError, which shows nothing of it."""
    try:
        account = ServiceAccount.model_validate_json(text)
        signing_key(account.private_key.get_secret_value())
    except (ValidationError, ValueError):
        raise ValueError("expected the JSON key of a service account, as Firebase gives it") from None
    return account


class FcmAdapter(Adapter):
    """One call a device, with an access token that all of a worker's sends share."""

    name = "fcm"
    channels = frozenset({"push"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True)
    Settings = FcmSettings
    settings: FcmSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._http = HttpClient(timeout=self.settings.timeout, connections=self.settings.connections)
        self._account: tuple[ServiceAccount, SigningKey] | None = None
        self._tokens = TokenCache(self._new_token)

    async def open(self) -> None:
        self._account = self._read()

    def _read(self) -> tuple[ServiceAccount, SigningKey]:
        if self.settings.service_account is not None:
            text = self.settings.service_account.get_secret_value()
        else:
            assert self.settings.service_account_file is not None
            text = self.settings.service_account_file.read_text("utf-8")
        try:
            account = read_account(text)
        except ValueError as error:
            place = f"channels.{self.channel}.settings.service_account_file"
            raise ConfigurationError(f"{place}: {error}") from None
        return account, signing_key(account.private_key.get_secret_value())

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.connections)

    async def _one(self, message: Message) -> Accepted:
        content = self._content(message)
        token = await self._tokens.get()
        answer = await self._call(content, token)
        if answer.status == 401:  # revoked before its time: surely not taken
            self._tokens.refuse(token)
            answer = await self._call(content, await self._tokens.get())
        document = answer.json()
        document = document if isinstance(document, dict) else {}
        if 200 <= answer.status < 300:
            name = document.get("name")
            if not isinstance(name, str):
                raise Unknown(f"HTTP {answer.status} without a name", raw=answer.raw)
            return Accepted(name, answer.raw)
        raise _trouble(answer, document)

    def _content(self, message: Message) -> bytes:
        title, body = title_and_body(message)
        name = collapse_id(message.key)
        android: dict[str, Any] = {"notification": {"tag": name}}
        if self.settings.ttl is not None:
            android["ttl"] = f"{self.settings.ttl}s"
        shown = {"title": title, "body": body} if title else {"body": body}
        if len(json.dumps(shown, ensure_ascii=False).encode()) > LARGEST:
            raise Rejected(Reason.TOO_LARGE, f"over {LARGEST} bytes")
        document = {
            "token": message.address,
            "notification": shown,
            "android": android,
            "apns": {"headers": {"apns-collapse-id": name}},
        }
        return json.dumps({"message": document}, ensure_ascii=False).encode()

    async def _call(self, content: bytes, token: str) -> Answer:
        account, _ = self._ready()
        return await self._http.exchange(
            "POST",
            f"{self.settings.endpoint}/v1/projects/{account.project_id}/messages:send",
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            content=content,
        )

    def _ready(self) -> tuple[ServiceAccount, SigningKey]:
        if self._account is None:
            self._account = self._read()
        return self._account

    async def _new_token(self) -> tuple[str, float]:
        """Exchange a JWT. Whatever goes wrong here, no message has left."""
        account, key = self._ready()
        now = int(time.time())
        claims = {"iss": account.client_email, "scope": SCOPE, "aud": account.token_uri}
        assertion = jwt(key, {**claims, "iat": now, "exp": now + LIFE}, kid=account.private_key_id)
        try:
            answer = await self._http.exchange(
                "POST",
                account.token_uri,
                headers={"content-type": "application/x-www-form-urlencoded"},
                content=urlencode({"grant_type": GRANT, "assertion": assertion}).encode(),
            )
        except Unknown as unheard:
            raise Unavailable(f"no access token: {unheard.detail}") from None
        document = answer.json()
        document = document if isinstance(document, dict) else {}
        token, life = document.get("access_token"), document.get("expires_in", LIFE)
        if answer.status == 200 and isinstance(token, str) and isinstance(life, int):
            return token, max(0, life - EARLY)
        if answer.status in (400, 401, 403):
            detail = f"no access token: HTTP {answer.status} {word(document.get('error'))}"
            raise Rejected(Reason.CREDENTIALS, detail, raw=answer.raw)
        raise Unavailable(f"no access token: HTTP {answer.status}", raw=answer.raw)

    async def close(self) -> None:
        await self._http.close()


def _trouble(answer: Answer, document: Mapping[str, Any]) -> Trouble:
    error = document.get("error")
    error = error if isinstance(error, dict) else {}
    details = [each for each in error.get("details") or [] if isinstance(each, dict)]
    codes = [code for each in details if (code := word(each.get("errorCode")))]
    fields = [v.get("field") for each in details for v in each.get("fieldViolations") or []]
    code = codes[0] if codes else word(error.get("status"))
    if code == "INVALID_ARGUMENT" and "message.token" in fields:
        return Rejected(
            Reason.ADDRESS_INVALID,
            f"HTTP {answer.status} {code} message.token",
            permanent=True,
            raw=answer.raw,
        )
    if meaning(CODES, code) is None and answer.status == 400:
        return Rejected(Reason.CONTENT, f"HTTP {answer.status} {code}", raw=answer.raw)
    return told(CODES, answer, code) or Rejected(Reason.OTHER, f"HTTP {answer.status} {code}", raw=answer.raw)
