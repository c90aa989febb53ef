"""`jpush`: app push through JPush (极光), REST API v3.

    POST /v3/push    {"platform": …, "audience": {"registration_id": […]}, "notification": {…}, …}

A call has one text for up to 1000 devices. It names an error only if none of them can be reached: so by
default a call carries one device, whose token is then checked; `batch` sends equal texts together and gives
that up. JPush de-duplicates by `cid` only what it numbered itself, which is of no use after a crash: an
unknown outcome stays unknown. (https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, SecretStr

from channels.codes import DOWN, Meaning, Trouble, later, refused, told, word
from channels.errors import Rejected, Throttled, Unknown
from channels.http import Answer, HttpClient, Url
from channels.message import Message
from channels.pacing import Outcome, alike_together
from channels.port import Adapter, Capabilities, Settings
from channels.push import collapse_id, title_and_body
from channels.receipt import Accepted, Reason

MOST = 1000
LARGEST_IOS = 2000
LARGEST_ANDROID = 4000

CODES: Mapping[str, Meaning] = {
    "1000": DOWN,
    "1001": refused(Reason.OTHER),
    "1002": refused(Reason.CONTENT),
    "1003": refused(Reason.ADDRESS_INVALID, permanent=True),
    "1004": refused(Reason.CREDENTIALS),
    "1005": refused(Reason.TOO_LARGE),
    "1008": refused(Reason.CREDENTIALS),
    "1009": refused(Reason.CONTENT),
    "1011": refused(Reason.ADDRESS_UNKNOWN),
    "1020": refused(Reason.OTHER),
    "1030": DOWN,
    "2002": later(60),
    "2003": refused(Reason.CREDENTIALS),
    "2004": refused(Reason.CREDENTIALS),
    "2005": refused(Reason.QUOTA),
}


class JpushSettings(Settings):
    """`channels.push.settings`."""

    app_key: str = Field(min_length=1, description="The app's AppKey")
    master_secret: SecretStr = Field(description="Its master secret")
    platform: Literal["all", "android", "ios"] = Field(default="all", description="Whose devices to reach")
    environment: Literal["production", "sandbox"] = Field(
        default="production", description="Apple's servers: `sandbox` is for apps run from Xcode"
    )
    ttl: int | None = Field(
        default=None,
        ge=0,
        le=864000,
        description="Seconds to keep trying a device that is off; a day by default",
    )
    batch: int = Field(default=1, ge=1, le=MOST, description="Devices of one text in a call at most")
    endpoint: Url = Field(default="https://api.jpush.cn", description="Where the API lives")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")


class JpushAdapter(Adapter):
    """One device a call, or equal texts together."""

    name = "jpush"
    channels = frozenset({"push"})
    capabilities = Capabilities(remote=True, batch=True, checks_address=True, throttles=True)
    Settings = JpushSettings
    settings: JpushSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._http = HttpClient(timeout=self.settings.timeout, connections=self.settings.connections)
        login = f"{self.settings.app_key}:{self.settings.master_secret.get_secret_value()}"
        self._authorization = f"Basic {base64.b64encode(login.encode()).decode()}"

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await alike_together(
            messages,
            _checked,
            self._batch,
            most=self.settings.batch,
            pacer=self.pacer,
            at_once=self.settings.connections,
        )

    async def _batch(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        settings = self.settings
        title, body = title_and_body(messages[0])
        options: dict[str, Any] = {"apns_production": settings.environment == "production"}
        if settings.ttl is not None:
            options["time_to_live"] = settings.ttl
        if len(messages) == 1:
            options["apns_collapse_id"] = collapse_id(messages[0].key)
        document = {
            "platform": settings.platform if settings.platform == "all" else [settings.platform],
            "audience": {"registration_id": list(dict.fromkeys(m.address for m in messages))},
            "notification": _notification(title, body),
            "options": options,
        }
        answer = await self._http.exchange(
            "POST",
            f"{settings.endpoint}/v3/push",
            headers={"authorization": self._authorization, "content-type": "application/json"},
            content=json.dumps(document, ensure_ascii=False).encode(),
        )
        said = answer.json()
        said = said if isinstance(said, dict) else {}
        if answer.status == 200 and "msg_id" in said:
            return [Accepted(str(said["msg_id"]), answer.raw)] * len(messages)
        return [_trouble(answer, said, len(messages))] * len(messages)

    async def close(self) -> None:
        await self._http.close()


def _notification(title: str, body: str) -> dict[str, Any]:
    android = {"alert": body, "title": title} if title else {"alert": body}
    alert: str | dict[str, str] = {"title": title, "body": body} if title else body
    return {"android": android, "ios": {"alert": alert, "sound": "default"}}


def _checked(message: Message) -> tuple[str, str]:
    title, body = title_and_body(message)
    if not message.address.strip():
        raise Rejected(Reason.ADDRESS_INVALID, "no registration id", permanent=True)
    shown = _notification(title, body)
    for platform, largest in (("ios", LARGEST_IOS), ("android", LARGEST_ANDROID)):
        if len(json.dumps(shown[platform], ensure_ascii=False).encode()) > largest:
            raise Rejected(Reason.TOO_LARGE, f"over {largest} bytes for {platform}")
    return title, body


def _trouble(answer: Answer, document: Mapping[str, Any], devices: int) -> Trouble:
    error = document.get("error")
    code = word(error.get("code")) if isinstance(error, dict) else ""
    if answer.status == 429:
        reset = answer.headers.get("x-rate-limit-reset", "")
        pause = timedelta(seconds=int(reset)) if reset.isascii() and reset.isdigit() else timedelta(minutes=1)
        return Throttled(pause, f"HTTP 429 {code}", raw=answer.raw)
    trouble = told(CODES, answer, code)
    if trouble is None:
        return Unknown(f"HTTP {answer.status} without a msg_id", raw=answer.raw)
    if isinstance(trouble, Rejected) and trouble.permanent and devices > 1:
        # One of them is malformed, and nobody says which.
        return replace(trouble, permanent=False)
    return trouble
