"""A WeChat mini-program that checks what the real one is documented to: token, fields, pages, agreements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from channels.inbound import Call
from channels.testing.wechat import AppTokens
from channels.testing.wechat_api import Refused, Sent
from channels.testing.wechat_calls import Caller
from channels.testing.wechat_fields import broken

FIELDS = {"touser", "template_id", "page", "data", "miniprogram_state", "lang"}


class FakeMiniProgram(AppTokens):
    """`async with FakeMiniProgram(app_id, secret) as fake: … fake.url … fake.sent`."""

    def __init__(
        self,
        app_id: str,
        secret: str,
        *,
        callback_token: str = "callback-token",
        callback_key: str | None = None,
        templates: Mapping[str, tuple[str, ...]] | None = None,
        long_term: Collection[str] = (),
        pages: Collection[str] = ("pages/index",),
    ) -> None:
        """`templates`: id → the names of its fields. An agreement to a `long_term` one is never used up."""
        super().__init__(app_id, secret)
        self.caller = Caller(callback_token, app_id, callback_key)
        self.templates, self.long_term, self.pages = templates or {}, long_term, pages
        self.people: set[str] = set()
        self.agreements: Counter[tuple[str, str]] = Counter()

    def agree(self, open_id: str, template: str, at: datetime, answer: str = "accept") -> Call:
        """Somebody answers when asked; the call that WeChat makes is returned."""
        self.people.add(open_id)
        self.agreements[open_id, template] += answer == "accept"
        entry = {"TemplateId": template, "SubscribeStatusString": answer, "PopupScene": "0"}
        return self._call(open_id, at, "subscribe_msg_popup_event", "SubscribeMsgPopupEvent", entry)

    def withdraw(self, open_id: str, template: str, at: datetime) -> Call:
        self.agreements[open_id, template] = 0
        entry = {"TemplateId": template, "SubscribeStatusString": "reject"}
        return self._call(open_id, at, "subscribe_msg_change_event", "SubscribeMsgChangeEvent", entry)

    def receipt(self, sent: Sent, at: datetime, code: int = 0) -> Call:
        entry = {
            **{"TemplateId": sent.document["template_id"], "MsgID": sent.id},
            **{"ErrorCode": str(code), "ErrorStatus": "success" if code == 0 else "failed"},
        }
        return self._call(sent.to, at, "subscribe_msg_sent_event", "SubscribeMsgSentEvent", entry)

    def _call(self, open_id: str, at: datetime, event: str, wrap: str, entry: Mapping[str, str]) -> Call:
        fields = {"FromUserName": open_id, "MsgType": "event", "Event": event, wrap: {"List": entry}}
        return self.caller.call(at, fields)

    def judge(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        if path != "/cgi-bin/message/subscribe/send":
            raise Refused(48001, "api unauthorized")
        to, template, data = (document.get(name) for name in ("touser", "template_id", "data"))
        if not isinstance(to, str) or to not in self.people:
            raise Refused(40003, f"invalid openid {to}")
        if not isinstance(template, str) or template not in self.templates:
            raise Refused(40037, "invalid template_id")
        if document.get("miniprogram_state") not in ("formal", "trial", "developer"):
            raise Refused(47001, "invalid miniprogram_state")
        page = str(document.get("page", "")).partition("?")[0]
        if set(document) - FIELDS:
            raise Refused(47001, "data format error")
        if page and page not in self.pages:
            raise Refused(41030, f"invalid page {page}")
        wrong = broken(data)
        if wrong is None and set(data or {}) != set(self.templates[template]):
            wrong = "data"
        if wrong is not None:
            raise Refused(47003, f"argument invalid! {wrong} is invalid")
        if self.agreements[to, template] < 1:
            raise Refused(43101, "user refuse to accept the msg")
        if template not in self.long_term:
            self.agreements[to, template] -= 1
        id = str(3_000_000_000 + len(self.sent))
        self.sent.append(Sent(path, to, document, id))
        return {"msgid": int(id)}
