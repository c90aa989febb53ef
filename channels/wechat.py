"""`wechat`: a WeChat service account (developers.weixin.qq.com/doc/service).

A message's `json` part is what the provider wants, less what is ours to set; its shape says which kind it is:

| shape | kind | sent to | provider's de-duplication |
|---|---|---|---|
| `msgtype` | `customer_service` | `/cgi-bin/message/custom/send` | none |
| `template_id` | `template` | `/cgi-bin/message/template/send` | `client_msg_id`, for 10 minutes |
| that and `kind: subscribe` | `subscribe` | `/cgi-bin/message/subscribe/bizsend` | a grant is used up |

`kind` may be given for the others as well. Since not every kind can be repeated, the adapter as a whole does
not say that it is idempotent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from channels.documents import Document, text
from channels.errors import Rejected
from channels.inbound import Heard
from channels.limits import Need, Opening, Quota
from channels.message import Message
from channels.parts import json_part
from channels.port import Capabilities
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.wechat_app import GRANTED, AppAdapter, AppSettings, grants_of, heard
from channels.wechat_callback import instant
from channels.wechat_http import TOKEN_CODES, Codes, open_id

PATHS: Mapping[str, str] = {
    "customer_service": "/cgi-bin/message/custom/send",
    "template": "/cgi-bin/message/template/send",
    "subscribe": "/cgi-bin/message/subscribe/bizsend",
}
CODES: Codes = {
    **TOKEN_CODES,
    40003: Rejected(Reason.ADDRESS_INVALID),
    43004: Rejected(Reason.ADDRESS_UNKNOWN),
    50005: Rejected(Reason.ADDRESS_UNKNOWN),
    43019: Rejected(Reason.BLOCKED),
    48002: Rejected(Reason.OPTED_OUT, opt_out=True),
    45015: Rejected(Reason.WINDOW),
    43101: Rejected(Reason.WINDOW),
    45047: Rejected(Reason.QUOTA),
    45002: Rejected(Reason.TOO_LARGE),
    45008: Rejected(Reason.TOO_LARGE),
    40007: Rejected(Reason.CONTENT),
    40008: Rejected(Reason.CONTENT),
    40033: Rejected(Reason.CONTENT),
    41030: Rejected(Reason.CONTENT),
    44004: Rejected(Reason.CONTENT),
    47001: Rejected(Reason.CONTENT),
    47003: Rejected(Reason.CONTENT),
    40037: Rejected(Reason.CREDENTIALS),
    40164: Rejected(Reason.CREDENTIALS),
    48001: Rejected(Reason.CREDENTIALS),
    48004: Rejected(Reason.CREDENTIALS),
    50002: Rejected(Reason.CREDENTIALS),
}
_RECEIPTS = {
    "success": (DeliveryState.DELIVERED, None),
    "failed:user block": (DeliveryState.FAILED, Reason.BLOCKED),
    "failed:freq limit": (DeliveryState.FAILED, Reason.QUOTA),
}


class WeChatSettings(AppSettings):
    """`channels.wechat.settings`."""


class WeChatAdapter(AppAdapter):
    name = "wechat"
    channels = frozenset({"wechat"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True, receipts=True, inbound=True)
    Settings = WeChatSettings
    codes = CODES
    events = "wechat"
    quotas: ClassVar[Mapping[str, Quota]] = {
        "customer_service": Quota(
            (
                Opening("wechat.messaged", 5, timedelta(hours=48)),
                Opening("wechat.menu_clicked", 3, timedelta(minutes=1)),
                Opening("wechat.followed", 3, timedelta(minutes=1)),
                Opening("wechat.scanned", 3, timedelta(minutes=1)),
            )
        ),
        GRANTED: grants_of("wechat"),
    }

    def needs(self, message: Message) -> Need | None:
        try:
            document = json_part(message, ())
            kind = _kind(document)
        except Rejected:
            return None
        if kind == "subscribe":
            return Need(GRANTED, document["template_id"])
        return Need(kind) if kind in self.quotas else None

    async def one(self, message: Message) -> Accepted:
        document = json_part(message, ("touser", "client_msg_id"))
        kind = _kind(document)
        document["touser"] = open_id(message.address, self.settings.app_id)
        if kind == "template":
            document["client_msg_id"] = hashlib.sha256(message.key.encode()).hexdigest()[:32]
        found, raw = await self.api.post(PATHS[kind], document)
        given = found.get("msgid")
        return Accepted(str(given) if isinstance(given, int | str) else None, raw)

    def told(self, document: Document) -> Heard:
        kind, event, key = text(document, "MsgType"), text(document, "Event"), text(document, "EventKey")
        match kind, event:
            case "event", "subscribe":
                scene = key.removeprefix("qrscene_")
                return heard(self.inbound("wechat.followed", document, event, key, scene=scene))
            case "event", "unsubscribe":
                return heard(self.inbound("wechat.unfollowed", document, event))
            case "event", "SCAN":
                return heard(self.inbound("wechat.scanned", document, event, key, scene=key))
            case "event", "CLICK":
                return heard(self.inbound("wechat.menu_clicked", document, event, key, key=key))
            case "event", "VIEW":
                return heard(self.inbound("wechat.menu_clicked", document, event, key, url=key))
            case "event", "TEMPLATESENDJOBFINISH":
                return heard(receipts=_template_receipt(document))
            case "event", _:
                return self.granted(document)
        return self.messaged(document)


def _kind(document: dict[str, Any]) -> str:
    """Takes the kind out of the part, or reads it from its shape, and sees that the shape is that kind's."""
    given = document.pop("kind", None)
    if given is None:
        kind: str = "customer_service" if "msgtype" in document else "template"
    elif isinstance(given, str) and given in PATHS:
        kind = given
    else:
        raise Rejected(Reason.CONTENT, f"kind is one of {', '.join(PATHS)}")
    if kind == "customer_service":
        sort = document.get("msgtype")
        if not isinstance(sort, str) or not isinstance(document.get(sort), dict):
            raise Rejected(Reason.CONTENT, "a customer-service message has msgtype and a field of that name")
    elif not isinstance(document.get("template_id"), str) or not isinstance(document.get("data"), dict):
        raise Rejected(Reason.CONTENT, "the part json has neither msgtype nor template_id and data")
    return kind


def _template_receipt(document: Document) -> list[Receipt]:
    sent, at = text(document, "MsgID"), instant(text(document, "CreateTime"))
    if not sent or at is None:
        return []
    status = " ".join(text(document, "Status").split()).replace("failed: ", "failed:")
    state, reason = _RECEIPTS.get(status, (DeliveryState.FAILED, Reason.OTHER))
    return [Receipt(state, at, provider_id=sent, reason=reason, raw=text(document, "Status"))]
