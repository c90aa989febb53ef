"""Real adapters against the fakes of their providers in trouble: what is sent, and what the operator sees.

Waiting is not waited out: every pause that delivery asks for moves the clock by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from channels.aliyun_sms import AliyunSmsAdapter
from channels.port import Adapter
from channels.registry import check_settings
from channels.resend import ResendAdapter
from channels.testing.aliyun_sms import FakeAliyunSms
from channels.testing.conformance import Provider
from channels.testing.resend import FakeResend
from channels.testing.wechat import FakeWeChat
from channels.wechat import WeChatAdapter
from engine.core.inputs import Settled
from engine.delivery import Order, Redirect, Retry, deliver
from engine.store.deliveries import Delivery
from tests.conformance import test_aliyun_sms, test_resend, test_wechat
from tests.integration.delivery.conftest import AT, World, message, world

__all__ = ["world"]

Fake = FakeAliyunSms | FakeResend | FakeWeChat
NAMES = ("aliyun_sms", "resend", "wechat")
HOUR = timedelta(hours=1)


@dataclass
class House:
    """A provider, our adapter for it, and a customer's message on its way."""

    world: World
    name: str
    fake: Fake
    provider: Provider
    channel: str
    order: Order
    pauses: list[timedelta] = field(default_factory=list)

    async def attempt(self) -> Settled | Retry:
        """One attempt; the clock goes on by the pause that is asked for."""
        [answer] = await deliver(self.world.worker(), [self.order])
        assert not isinstance(answer, Redirect)
        if isinstance(answer, Retry):
            self.pauses.append(answer.after)
            self.world.clock.at += answer.after
        return answer

    async def row(self) -> Delivery:
        return await self.world.row(self.order.enrolment_id)

    def taken(self) -> int:
        """Messages that the provider took for this customer: the first one warmed the connection up."""
        return len(self.provider.taken()) - 1

    @property
    def honours_our_key(self) -> bool:
        return self.world.adapters[self.channel].capabilities.idempotent


def _provider(name: str) -> tuple[Fake, Provider, type[Adapter], str]:
    if name == "aliyun_sms":
        texts = {"SMS_1": "${words}。拒收请回复R"}
        sms = FakeAliyunSms("LTAI5tExample", test_aliyun_sms.SECRET, "南寻茶馆", texts)
        return sms, test_aliyun_sms.AliyunSmsProvider(sms), AliyunSmsAdapter, "sms"
    if name == "resend":
        mail = FakeResend(test_resend.KEY, ["example.com"])
        return mail, test_resend.ResendProvider(mail), ResendAdapter, "email"
    account = FakeWeChat(test_wechat.APP, test_wechat.SECRET)
    return account, test_wechat.WeChatProvider(account), WeChatAdapter, "wechat"


@asynccontextmanager
async def opened(world: World, name: str) -> AsyncIterator[House]:
    fake, provider, kind, channel = _provider(name)
    async with fake:
        settings = check_settings(kind.Settings, provider.settings(), "settings", {})
        async with kind(channel, settings) as adapter:
            world.adapters[channel] = adapter
            digest = world.plan(message(template="fault", channels=(channel,)))
            orders = [await _order(world, digest, channel, _address(provider, n)) for n in (0, 1)]
            [warm] = await deliver(world.worker(), orders[:1])
            assert isinstance(warm, Settled)
            assert warm.result == "sent", await world.row(orders[0].enrolment_id)
            yield House(world, name, fake, provider, channel, orders[1])


def _address(provider: Provider, n: int) -> str:
    return provider.address(n)


async def _order(world: World, digest: str, channel: str, address: str) -> Order:
    kinds: Mapping[str, str] = {"sms": "phone"}
    known = {kinds.get(channel, channel): address}
    enrolment = await world.customer(digest, addresses=known, consent=(channel,))
    if channel == "wechat":  # an account may answer for two days, and not write of its own accord
        await world.event(enrolment, "wechat.messaged", AT - timedelta(minutes=1))
    return world.order(enrolment, digest, at=AT)


@pytest.fixture(params=NAMES)
async def house(request: pytest.FixtureRequest, world: World) -> AsyncIterator[House]:
    async with opened(world, request.param) as found:
        yield found


async def _perhaps_sent(house: House) -> None:
    """What a message comes to whose first call was taken and not answered: one message, however it ends."""
    answer = await house.attempt()
    house.fake.latency = 0.0
    if house.honours_our_key:
        assert isinstance(answer, Retry)
        assert (await house.row()).reason is not None
        assert (await house.row()).reason.startswith("unknown")  # type: ignore[union-attr]
        answer = await house.attempt()
        assert isinstance(answer, Settled)
        assert answer.result == "sent"
    else:
        # As the channel says: assumed sent, or what the provider says when it is asked.
        while isinstance(answer, Retry):
            answer = await house.attempt()
        assert answer.result in ("unknown", "sent")
        assert (await house.row()).state in ("unknown", "accepted")
    assert house.taken() == 1
    again = await house.attempt()
    assert isinstance(again, Settled)
    assert house.taken() == 1


async def test_a_provider_that_is_too_slow_has_the_message_once(house: House) -> None:
    house.fake.latency = 0.7  # more than our time-out, as 20 s are of the real one
    await _perhaps_sent(house)


async def test_a_provider_that_takes_it_and_drops_the_answer_has_it_once(house: House) -> None:
    house.provider.trouble("drop")
    await _perhaps_sent(house)


async def test_a_provider_that_is_down_for_an_hour_gets_the_message_afterwards(house: House) -> None:
    await house.provider.vanish()
    began = house.world.clock.at
    while house.world.clock.at - began < HOUR:
        assert isinstance(await house.attempt(), Retry)
        row = await house.row()
        assert row.state == "claimed"
        assert (row.reason or "").startswith("unavailable"), row.reason
    await house.fake.start()

    answer = await house.attempt()

    assert isinstance(answer, Settled)
    assert answer.result == "sent"
    assert house.taken() == 1
    assert max(house.pauses) == timedelta(minutes=5)
    assert len(house.pauses) < 25, "it is asked less and less often"


async def test_a_provider_that_asks_for_pauses_for_ten_minutes_is_left_in_peace(house: House) -> None:
    began = house.world.clock.at
    while house.world.clock.at - began < timedelta(minutes=10):
        house.provider.trouble("throttle")
        assert isinstance(await house.attempt(), Retry)
        assert ((await house.row()).reason or "").startswith("throttled")

    answer = await house.attempt()

    assert isinstance(answer, Settled)
    assert answer.result == "sent"
    assert house.taken() == 1


HTML = b"<!doctype html><html><body><h1>Bad Gateway</h1></body></html>"


@asynccontextmanager
async def pages(port: int, status: int) -> AsyncIterator[None]:
    """Something before the provider that answers everything in HTML."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status} -\r\ncontent-type: text/html\r\nconnection: close\r\n"
            writer.write(f"{head}content-length: {len(HTML)}\r\n\r\n".encode() + HTML)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def test_an_error_in_html_is_tried_again(house: House) -> None:
    await house.provider.vanish()
    async with pages(house.fake.port, 502):
        assert isinstance(await house.attempt(), Retry)
        assert "HTTP 502" in ((await house.row()).reason or "")
    await house.fake.start()

    answer = await house.attempt()

    assert isinstance(answer, Settled)
    assert answer.result == "sent"
    assert house.taken() == 1


async def test_a_good_answer_in_html_is_no_answer(house: House) -> None:
    """Whoever gave it may have passed the message on before: nobody knows."""
    await house.provider.vanish()
    async with pages(house.fake.port, 200):
        answer = await house.attempt()
        row = await house.row()
    assert (row.reason or "").startswith("unknown"), row.reason
    assert "<html>" not in (row.reason or "")
    await house.fake.start()
    for _ in range(4):
        if isinstance(answer, Retry):
            answer = await house.attempt()
    assert isinstance(answer, Settled)
    assert house.taken() == (1 if house.honours_our_key else 0)


async def test_a_token_revoked_in_the_middle_is_fetched_anew(world: World) -> None:
    async with opened(world, "wechat") as house:
        assert isinstance(house.fake, FakeWeChat)
        house.fake.revoke()

        answer = await house.attempt()

        assert isinstance(answer, Settled)
        assert answer.result == "sent"
        assert house.taken() == 1


async def test_a_key_revoked_in_the_middle_is_told_and_nothing_is_sent(world: World) -> None:
    async with opened(world, "resend") as house:
        assert isinstance(house.fake, FakeResend)
        house.fake.api_key = "re_another"

        answer = await house.attempt()

        assert isinstance(answer, Settled)
        assert (answer.result, answer.reason) == ("failed", "rejected: credentials")
        assert (await house.row()).state == "rejected"
        assert house.taken() == 0
