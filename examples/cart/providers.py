"""The providers of the demo, as fakes that check what the real ones check, and call back."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from channels.inbound import Call
from channels.testing.aliyun_sms import FakeAliyunSms
from channels.testing.smtp_server import FakeSmtpServer
from channels.testing.wechat import FakeWeChat
from examples.cart.people import APP_ID

APPROVED: Final = {
    "SMS_100001": "购物车里的${item}还为你留着，合计${total}元。拒收请回复R",
    "SMS_100002": "今天付款立减10元，${item}在购物车里等你。拒收请回复R",
    "SMS_100003": "最后提醒：你的购物车今晚清空。拒收请回复R",
}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that a provider took. `id` tells it from every other."""

    channel: str
    address: str
    id: str
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Providers:
    wechat: FakeWeChat
    sms: FakeAliyunSms
    email: FakeSmtpServer
    secrets: Mapping[str, str] = field(repr=False)
    """By name of a variable: what `kairos.yaml` refers to."""
    base_url: str = ""
    """Of Kairos, once it listens."""
    calls: int = 0
    """Those made to Kairos."""
    sequence: int = 0

    def arrived(self) -> list[Arrived]:
        """All that was taken so far, channel by channel in order."""
        found = [
            Arrived("wechat", sent.to, f"wechat/{place}", str(sent.document.get("text", {}).get("content")))
            for place, sent in enumerate(self.wechat.sent)
        ]
        found += [Arrived("sms", f"+86{m.address}", m.id, m.text) for m in self.sms.messages]
        for mail in self.email.mails:
            body = mail.message.get_body(("plain",))
            headers = {name.lower(): str(value) for name, value in mail.message.items()}
            text = "" if body is None else body.get_content()
            found.append(Arrived("email", mail.recipients[0], headers.get("message-id", ""), text, headers))
        return found

    async def followed(self, client: httpx.AsyncClient, open_id: str) -> None:
        """Somebody follows the account and says hello: from then on it may write to them for two days."""
        now = datetime.now(UTC)
        self.wechat.interact(open_id, "follow")
        self.wechat.interact(open_id, "message")
        said: list[dict[str, Any]] = [
            {"FromUserName": open_id, "MsgType": "event", "Event": "subscribe", "EventKey": "qrscene_shop"},
            {"FromUserName": open_id, "MsgType": "text", "Content": "你好", "MsgId": secrets.randbits(48)},
        ]
        for document in said:
            await self._call(client, "wechat", self.wechat.caller.call(now, document), times=2)

    async def reported(self, client: httpx.AsyncClient, message: Arrived, err_code: str) -> None:
        """What became of an SMS, three times: providers repeat what they did not hear an answer to."""
        taken = next(m for m in self.sms.messages if m.id == message.id)
        await self._call(client, "sms", _post(self.sms.report(taken, err_code=err_code)), times=3)

    async def replied(self, client: httpx.AsyncClient, message: Arrived, words: str) -> None:
        self.sequence += 1
        body = self.sms.reply(message.address.removeprefix("+86"), words, datetime.now(UTC), self.sequence)
        await self._call(client, "sms", _post(body), times=2)

    async def _call(self, client: httpx.AsyncClient, channel: str, call: Call, times: int) -> None:
        adapter = {"wechat": "wechat", "sms": "aliyun_sms"}[channel]
        secret = self.secrets[f"{channel.upper()}_CALLBACK_SECRET"]
        for _ in range(times):
            answer = await client.post(
                f"{self.base_url}/callbacks/{adapter}/{secret}",
                params=dict(call.query),
                headers=dict(call.headers),
                content=call.body,
            )
            answer.raise_for_status()
            self.calls += 1


def _post(body: bytes) -> Call:
    return Call("POST", {}, {"content-type": "application/json"}, body, datetime.now(UTC))


def links_in(text: str) -> list[str]:
    """The addresses in a message that lead through Kairos, but for ways out."""
    return re.findall(r"https?://[^\s/]+/r/[A-Za-z0-9_.~-]+", text)


def ways_out(text: str) -> list[str]:
    """The addresses in a message at which somebody unsubscribes."""
    return re.findall(r"https?://[^\s/]+/u/[A-Za-z0-9_.~-]+", text)


@asynccontextmanager
async def providers() -> AsyncIterator[Providers]:
    """All three, listening on this machine."""
    made = {
        "WECHAT_SECRET": secrets.token_hex(16),
        "WECHAT_CALLBACK_TOKEN": secrets.token_hex(8),
        "WECHAT_CALLBACK_KEY": secrets.token_hex(22)[:43],
        "WECHAT_CALLBACK_SECRET": secrets.token_hex(16),
        "SMS_SECRET": secrets.token_hex(16),
        "SMS_CALLBACK_SECRET": secrets.token_hex(16),
    }
    wechat = FakeWeChat(
        APP_ID,
        made["WECHAT_SECRET"],
        callback_token=made["WECHAT_CALLBACK_TOKEN"],
        callback_key=made["WECHAT_CALLBACK_KEY"],
    )
    sms = FakeAliyunSms("demo", made["SMS_SECRET"], "南浔茶", APPROVED)
    async with wechat, sms, FakeSmtpServer() as email:
        variables = {
            **made,
            "WECHAT_URL": wechat.url,
            "SMS_URL": sms.url,
            "SMTP_PORT": str(email.port),
        }
        yield Providers(wechat, sms, email, variables)
        await asyncio.sleep(0)
