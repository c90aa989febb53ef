"""What a service account and a mini-program share: an app of api.weixin.qq.com, its token and its calls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr

from channels.documents import Document, message_id, text
from channels.http import HttpClient, Url
from channels.inbound import Call, Forged, Heard, Inbound, Reply
from channels.limits import Opening, Quota
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Settings
from channels.receipt import Accepted, Receipt
from channels.tokens import Tokens
from channels.wechat_callback import CallReader, grants, instant, subscribe_receipts
from channels.wechat_crypto import AesKey
from channels.wechat_http import Codes, TokenHttp, stable_token

MESSAGES = ("text", "image", "voice", "video", "shortvideo", "location", "link", "miniprogrampage")
GRANTED = "subscribe"
"""The quota of subscribe messages."""
REFUSED_TOKEN = (40001, 40014, 42001)


def grants_of(events: str) -> Quota:
    """Each agreement is good for one message of its template, and a refusal ends those that are left."""
    return Quota(
        (Opening(f"{events}.subscribed", 1),),
        adds_up=True,
        closed_by=(f"{events}.unsubscribed",),
        told_by="template_id",
    )


class AppSettings(Settings):
    """What a service account and a mini-program have in common."""

    app_id: str = Field(min_length=1, description="AppID")
    secret: SecretStr = Field(description="AppSecret")
    callback_token: SecretStr | None = Field(
        default=None, description="Token of the message push; without it no call is believed"
    )
    callback_key: AesKey | None = Field(
        default=None, description="EncodingAESKey; with it only encrypted calls are believed"
    )
    open_ids: Literal["with_app", "plain"] = Field(
        default="with_app", description="How callers are known: as `APPID/OPENID` or by the open id alone"
    )
    url: Url = Field(default="https://api.weixin.qq.com", description="Where the interface lives")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")
    oldest_call: int = Field(default=600, ge=10, description="Seconds after which a call is too old")


class AppAdapter(Adapter):
    """An account of api.weixin.qq.com: its token, its errors, its verified calls."""

    settings: AppSettings
    codes: ClassVar[Codes]
    events: ClassVar[str]
    """What the names of its events begin with."""

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        own = self.settings
        self.http = HttpClient(timeout=own.timeout, connections=own.connections)
        fetch = stable_token(self.http, own.url, own.app_id, own.secret.get_secret_value())
        tokens = Tokens(f"wechat/{own.app_id}", self.tokens, fetch)
        self.api = TokenHttp(own.url, self.http, tokens, self.codes, REFUSED_TOKEN)
        self._calls: CallReader | None = None
        if own.callback_token is not None:
            key = own.callback_key
            self._calls = CallReader(
                own.callback_token.get_secret_value(),
                None if key is None else key.get_secret_value(),
                own.app_id,
                oldest=timedelta(seconds=own.oldest_call),
            )

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self.one, pacer=self.pacer, at_once=self.settings.connections)

    @abstractmethod
    async def one(self, message: Message) -> Accepted: ...

    @abstractmethod
    def told(self, document: Document) -> Heard:
        """What a verified document says. Documents that mean nothing to us are heard as nothing."""

    async def hear(self, call: Call) -> Heard:
        if self._calls is None:
            raise Forged(f"{self.name} has no callback_token")
        found = self._calls.read(call)
        if isinstance(found, bytes):
            return Heard(Reply(body=found))
        return self.told(found)

    def inbound(self, name: str, document: Document, *words: str, **properties: str) -> Inbound | None:
        """An event of whoever sent the document. `words` tell apart what comes in the same second."""
        sender, created = text(document, "FromUserName"), text(document, "CreateTime")
        at = instant(created)
        if not sender or at is None:
            return None
        own = self.settings
        known = f"{own.app_id}/{sender}" if own.open_ids == "with_app" else sender
        unique = (text(document, "MsgId"),) if text(document, "MsgId") else (sender, created, *words)
        return Inbound(
            name,
            at,
            message_id(own.app_id, *unique),
            (("wechat", known),),
            {key: value for key, value in properties.items() if value},
        )

    def granted(self, document: Document) -> Heard:
        """Grants and refusals of subscribe messages, and what became of those that were sent."""
        event = text(document, "Event")
        at = instant(text(document, "CreateTime"))
        if event == "subscribe_msg_sent_event" and at is not None:
            return heard(receipts=subscribe_receipts(document, at))
        found = []
        for last, properties in grants(document):
            words = (event, properties.get("template_id", ""), last)
            found.append(self.inbound(f"{self.events}.{last}", document, *words, **properties))
        return heard(*found)

    def messaged(self, document: Document) -> Heard:
        """A message that somebody wrote. What they sent besides text stays with the provider."""
        kind = text(document, "MsgType")
        if kind not in MESSAGES:
            return heard()
        words = text(document, "Content") if kind == "text" else ""
        return heard(self.inbound(f"{self.events}.messaged", document, kind=kind, text=words))

    async def close(self) -> None:
        await self.http.close()


def heard(*inbound: Inbound | None, receipts: Sequence[Receipt] = ()) -> Heard:
    known = tuple(each for each in inbound if each is not None)
    return Heard(Reply(body=b"success"), tuple(receipts), known)
