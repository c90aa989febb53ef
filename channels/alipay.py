"""`alipay`: an Alipay life account (opendocs.alipay.com, "life account").

A message's `json` part is the interface's `biz_content`, less whom it goes to; its shape says which kind:

| shape | kind | method |
|---|---|---|
| `msg_type` | `custom` | `alipay.open.public.message.custom.send` |
| `template` | `template` | `alipay.open.public.message.single.send` |

No idempotency key is known of either, nor a way to ask.
"""

from __future__ import annotations

from typing import Any

from channels.alipay_app import AlipayAppAdapter, AlipayAppSettings
from channels.alipay_calls import GatewayCalls
from channels.errors import Rejected
from channels.inbound import Call, Heard
from channels.message import Message
from channels.parts import json_part
from channels.port import Capabilities
from channels.receipt import Accepted, Reason

METHODS = {
    "custom": "alipay.open.public.message.custom.send",
    "template": "alipay.open.public.message.single.send",
}
OPEN_ID = {"custom": "open_id", "template": "to_open_id"}


class AlipaySettings(AlipayAppSettings):
    """`channels.alipay.settings`."""


class AlipayAdapter(AlipayAppAdapter):
    name = "alipay"
    channels = frozenset({"alipay"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True, inbound=True)
    Settings = AlipaySettings
    settings: AlipaySettings

    async def hear(self, call: Call) -> Heard:
        return GatewayCalls(self.settings.app_id, self.private_key, self.alipay_key).read(call)

    async def one(self, message: Message) -> Accepted:
        document = json_part(message, ("to_user_id", "open_id", "to_open_id"))
        kind = _kind(document)
        whom = self.whom(message.address, OPEN_ID[kind])
        found, raw = await self.gateway.call(METHODS[kind], {**document, **whom})
        given = found.get("message_id")
        return Accepted(given if isinstance(given, str) else None, raw)


def _kind(document: dict[str, Any]) -> str:
    kind = "custom" if "msg_type" in document else "template"
    if document.pop("kind", kind) != kind:
        raise Rejected(Reason.CONTENT, f"the part json has the fields of a {kind}, and says another kind")
    if kind == "custom":
        sort = document["msg_type"]
        field = {"text": "text", "image-text": "articles"}.get(sort) if isinstance(sort, str) else None
        if field is None or not document.get(field):
            raise Rejected(Reason.CONTENT, "msg_type is text, with text, or image-text, with articles")
    else:
        template = document.get("template")
        if not isinstance(template, dict) or not template.get("template_id"):
            raise Rejected(Reason.CONTENT, "the part json has neither msg_type nor template.template_id")
    return kind
