"""`alipay_miniprogram`: subscribe messages of an Alipay mini-program.

A message's `json` part is the `biz_content` of `alipay.open.app.mini.templatemessage.send`, less whom it goes
to: `{"user_template_id": …, "page": …, "data": {"keyword1": {"value": …}}}`, with `form_id` where the
template is not one that people subscribe to. No idempotency key is known, nor a way to ask.
"""

from __future__ import annotations

import json

from channels.alipay_app import AlipayAppAdapter, AlipayAppSettings
from channels.errors import Rejected
from channels.message import Message
from channels.parts import json_part
from channels.port import Capabilities
from channels.receipt import Accepted, Reason

METHOD = "alipay.open.app.mini.templatemessage.send"
PAGE, DATA = 128, 2048


class AlipayMiniProgramSettings(AlipayAppSettings):
    """`channels.miniprogram.settings`."""


class AlipayMiniProgramAdapter(AlipayAppAdapter):
    name = "alipay_miniprogram"
    channels = frozenset({"alipay", "miniprogram"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True)
    Settings = AlipayMiniProgramSettings
    settings: AlipayMiniProgramSettings

    async def one(self, message: Message) -> Accepted:
        document = json_part(message, ("to_user_id", "to_open_id"))
        template, data, page = (document.get(name) for name in ("user_template_id", "data", "page"))
        if not isinstance(template, str) or not isinstance(data, dict) or not isinstance(page, str):
            raise Rejected(Reason.CONTENT, "the part json needs user_template_id, page and data")
        # The interface takes the fields as a text that holds JSON.
        fields = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        if len(page) > PAGE or len(fields) > DATA:
            raise Rejected(Reason.TOO_LARGE, f"page has at most {PAGE} characters, data {DATA}")
        whom = self.whom(message.address, "to_open_id")
        _, raw = await self.gateway.call(METHOD, {**document, "data": fields, **whom})
        return Accepted(None, raw)
