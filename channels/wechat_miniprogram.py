"""`wechat_miniprogram`: subscribe messages of a WeChat mini-program.

A message's `json` part is `{"template_id": …, "page": …, "data": {…}}`, sent to
`/cgi-bin/message/subscribe/send` (developers.weixin.qq.com/miniprogram). Each agreement of a person is good
for one message, so that a repeat of one that arrived is refused (43101) unless there is another agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from channels.documents import Document, text
from channels.errors import Rejected
from channels.inbound import Heard
from channels.limits import Need, Quota
from channels.message import Message
from channels.parts import json_part
from channels.port import Capabilities
from channels.receipt import Accepted, Reason
from channels.wechat_app import GRANTED, AppAdapter, AppSettings, grants_of
from channels.wechat_http import TOKEN_CODES, Codes, open_id

CODES: Codes = {
    **TOKEN_CODES,
    40003: Rejected(Reason.ADDRESS_INVALID),
    43101: Rejected(Reason.WINDOW),
    41030: Rejected(Reason.CONTENT),
    47001: Rejected(Reason.CONTENT),
    47003: Rejected(Reason.CONTENT),
    40037: Rejected(Reason.CREDENTIALS),
    40164: Rejected(Reason.CREDENTIALS),
    48001: Rejected(Reason.CREDENTIALS),
    48004: Rejected(Reason.CREDENTIALS),
    50002: Rejected(Reason.CREDENTIALS),
}


class WeChatMiniProgramSettings(AppSettings):
    """`channels.miniprogram.settings`."""

    state: Literal["formal", "trial", "developer"] = Field(
        default="formal", description="Which edition of the mini-program a message opens"
    )
    lang: Literal["zh_CN", "zh_HK", "zh_TW", "en_US"] = Field(
        default="zh_CN", description="Language of the message's frame"
    )


class WeChatMiniProgramAdapter(AppAdapter):
    name = "wechat_miniprogram"
    channels = frozenset({"miniprogram"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True, receipts=True, inbound=True)
    Settings = WeChatMiniProgramSettings
    settings: WeChatMiniProgramSettings
    codes = CODES
    events = "miniprogram"
    quotas: ClassVar[Mapping[str, Quota]] = {GRANTED: grants_of("miniprogram")}

    def needs(self, message: Message) -> Need | None:
        try:
            template = json_part(message, ()).get("template_id")
        except Rejected:
            return None
        return Need(GRANTED, template) if isinstance(template, str) else None

    async def one(self, message: Message) -> Accepted:
        document = json_part(message, ("touser",))
        if not isinstance(document.get("template_id"), str) or not isinstance(document.get("data"), dict):
            raise Rejected(Reason.CONTENT, "the part json needs template_id and data")
        defaults = {"miniprogram_state": self.settings.state, "lang": self.settings.lang}
        whom = {"touser": open_id(message.address, self.settings.app_id)}
        found, raw = await self.api.post("/cgi-bin/message/subscribe/send", {**defaults, **document, **whom})
        given = found.get("msgid")
        return Accepted(str(given) if isinstance(given, int | str) else None, raw)

    def told(self, document: Document) -> Heard:
        return self.granted(document) if text(document, "MsgType") == "event" else self.messaged(document)
