"""A WeChat service account that checks what the real one is documented to.

Token, fields, field rules of subscribe messages, followers, and how many customer-service messages an
interaction allows. That table has changed before and is differently told, so it is the installation's: pass
your own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from channels.testing.wechat_api import FakeTokenApi, Refused, Sent
from channels.testing.wechat_calls import Caller
from channels.testing.wechat_fields import broken

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many messages within so many seconds of what somebody did."""

    messages: int
    seconds: int


QUOTAS: Mapping[str, Allowance] = {
    "message": Allowance(5, 48 * HOUR),
    "menu_click": Allowance(3, MINUTE),
    "follow": Allowance(3, MINUTE),
    "scan": Allowance(3, MINUTE),
    "payment": Allowance(5, 48 * HOUR),
}
SORTS = (
    *("text", "image", "voice", "video", "music", "news", "mpnews", "mpnewsarticle"),
    *("msgmenu", "wxcard", "miniprogrampage"),
)


class AppTokens(FakeTokenApi):
    """`/cgi-bin/stable_token` of one app."""

    def __init__(self, app_id: str, secret: str) -> None:
        super().__init__()
        self.app_id, self.secret = app_id, secret

    def give_token(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        if path != "/cgi-bin/stable_token":
            return None
        asked = json.loads(body)
        if method != "POST" or asked.get("grant_type") != "client_credential":
            raise Refused(40002, "invalid grant_type")
        if asked.get("appid") != self.app_id:
            raise Refused(40013, "invalid appid")
        if asked.get("secret") != self.secret:
            raise Refused(40125, "invalid appsecret")
        if asked.get("force_refresh"):
            self.token += 1
        return self.issue()


class FakeWeChat(AppTokens):
    """`async with FakeWeChat(app_id, secret) as fake: … fake.url … fake.sent`."""

    def __init__(
        self,
        app_id: str,
        secret: str,
        *,
        callback_token: str = "callback-token",
        callback_key: str | None = None,
        quotas: Mapping[str, Allowance] = QUOTAS,
        templates: Mapping[str, tuple[str, ...]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`templates`: id → the names of its fields."""
        super().__init__(app_id, secret)
        self.caller = Caller(callback_token, app_id, callback_key)
        self.templates = templates or {}
        self.followers: dict[str, bool] = {}
        self.grants: dict[tuple[str, str], int] = {}
        self._quotas, self._clock = quotas, clock
        self._allowed: dict[str, tuple[int, float]] = {}
        self._keys: dict[tuple[str, str], str] = {}

    def interact(self, open_id: str, what: str) -> None:
        """Somebody did something; allowances do not add up, the better one counts."""
        if what == "follow":
            self.followers[open_id] = True
        allowance = self._quotas[what]
        new = (allowance.messages, self._clock() + allowance.seconds)
        left, until = self._allowed.get(open_id, (0, 0.0))
        if until <= self._clock() or new >= (left, until):
            self._allowed[open_id] = new

    def judge(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        to = document.get("touser")
        if not isinstance(to, str) or to not in self.followers:
            raise Refused(40003, f"invalid openid {to}")
        match path:
            case "/cgi-bin/message/custom/send":
                return self._custom(path, to, document)
            case "/cgi-bin/message/template/send":
                return self._template(path, to, document)
            case "/cgi-bin/message/subscribe/bizsend":
                return self._subscribe(path, to, document)
        raise Refused(48001, "api unauthorized")

    def _custom(self, path: str, to: str, document: dict[str, Any]) -> dict[str, Any]:
        sort = document.get("msgtype")
        inner = document.get(sort) if isinstance(sort, str) else None
        if sort not in SORTS or not isinstance(inner, dict):
            raise Refused(40008, "invalid message type")
        if sort == "text" and not inner.get("content"):
            raise Refused(44004, "empty content")
        self._following(to)
        left, until = self._allowed.get(to, (0, 0.0))
        if self._clock() >= until:
            raise Refused(45015, "response out of time limit or subscription is canceled")
        if left < 1:
            raise Refused(45047, "out of response count limit")
        self._allowed[to] = (left - 1, until)
        self.sent.append(Sent(path, to, document))
        return {}

    def _template(self, path: str, to: str, document: dict[str, Any]) -> dict[str, Any]:
        self._fields(document)
        self._following(to)
        key = document.get("client_msg_id")
        if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= 64):
            raise Refused(47001, "invalid client_msg_id")
        if key is not None and (to, key) in self._keys:
            return {"msgid": int(self._keys[to, key])}
        return {"msgid": int(self._keep(path, to, document, key))}

    def _subscribe(self, path: str, to: str, document: dict[str, Any]) -> dict[str, Any]:
        self._fields(document)
        wrong = broken(document.get("data"))
        if wrong is not None:
            raise Refused(47003, f"argument invalid! {wrong} is invalid")
        grant = (to, document["template_id"])
        if self.grants.get(grant, 0) < 1:
            raise Refused(43101, "user refuse to accept the msg")
        self.grants[grant] -= 1
        self._keep(path, to, document, None)
        return {}

    def _keep(self, path: str, to: str, document: dict[str, Any], key: str | None) -> str:
        id = str(20_000_000 + len(self.sent))
        self.sent.append(Sent(path, to, document, id))
        if key is not None:
            self._keys[to, key] = id
        return id

    def _following(self, to: str) -> None:
        if not self.followers[to]:
            raise Refused(43004, "require subscribe")

    def _fields(self, document: dict[str, Any]) -> None:
        template, data = document.get("template_id"), document.get("data")
        names = self.templates.get(template) if isinstance(template, str) else None
        if names is None:
            raise Refused(40037, "invalid template_id")
        if not isinstance(data, dict) or set(data) != set(names):
            raise Refused(47003, "argument invalid! data is invalid")
