"""Sends of which nothing was heard, at providers that can be asked: asked after, and never sent twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from channels import create
from channels.errors import Rejected, Unavailable, Unknown
from channels.message import Message
from channels.port import Capabilities
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.testing.aliyun_sms import FakeAliyunSms
from channels.testing.wecom import FakeWeCom
from engine.core.inputs import Settled
from engine.delivery import Retry, asking, deliver, receive, sweep
from engine.language.installation import ChannelSettings

from .conftest import AT, World, message

ASKED = Capabilities(remote=True, can_query=True)
"""A provider that does not honour our key and can be asked."""


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.0, 0.0, 0.0))


async def test_an_sms_whose_answer_was_lost_is_found_and_its_receipt_too(world: World) -> None:
    async with FakeAliyunSms("key", "secret", "南寻茶馆", {"SMS_1": "Hello ${name}"}) as fake:
        settings = {
            "access_key_id": "key",
            "access_key_secret": "secret",
            "sign_name": "南寻茶馆",
            "templates": {"SMS_1": "Hello {name}"},
            "endpoint": fake.url,
            "timeout": 0.5,
        }
        async with create("aliyun_sms", "sms", settings) as adapter:
            world.adapters["sms"] = adapter
            digest = world.plan(message(channels=("sms",)))
            enrolment = await world.customer(digest)
            fake.trouble("drop")

            [answered] = await deliver(world.worker(), [world.order(enrolment, digest)])

            assert answered == Settled("hi", "sent", AT, "sms")
            assert len(fake.messages) == 1
            row = await world.row(enrolment)
            assert (row.state, row.attempts) == ("accepted", 1)
            told = Receipt(DeliveryState.DELIVERED, AT + timedelta(seconds=5), row.key, "biz-of-theirs")
            assert await receive(world.worker(), [told]) == 1
            assert (await world.row(enrolment)).state == "delivered"


async def test_a_group_send_whose_answer_was_lost_is_found(world: World) -> None:
    async with FakeWeCom("ww1", "secret") as fake:
        fake.befriend("wm-1", "zhang")
        settings = {"corp_id": "ww1", "secret": "secret", "url": fake.url, "timeout": 0.5}
        async with create("wecom", "wecom", settings) as adapter:
            world.adapters["wecom"] = adapter
            digest = world.plan(message(channels=("wecom",)))
            enrolment = await world.customer(digest, addresses={"wecom": "wm-1"}, consent=("wecom",))
            fake.behave("drop", times=1)

            [answered] = await deliver(world.worker(), [world.order(enrolment, digest)])

            assert answered == Settled("hi", "sent", AT, "wecom")
            assert len(fake.tasks) == 1
            assert (await world.row(enrolment)).state == "accepted"


async def test_what_the_provider_refused_is_refused(world: World) -> None:
    adapter = world.fake("sms", ASKED)
    adapter.then(Unknown("read timed out"))
    adapter.answers(Rejected(Reason.CONTENT, "a forbidden word"))
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)

    [answered] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(answered, Settled)
    assert answered.result == "failed"
    assert len(adapter.attempts) == 1


@pytest.mark.parametrize("answer", [None, Unavailable("down")])
async def test_what_nobody_knows_is_settled_by_the_channel(world: World, answer: Unavailable | None) -> None:
    adapter = world.fake("sms", ASKED)
    adapter.then(Unknown("read timed out"))
    adapter.answers(answer, answer, answer)
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)

    [answered] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert answered == Settled("hi", "unknown", AT, "sms")
    assert (adapter.asked, len(adapter.attempts)) == (3, 1)


async def test_before_a_call_is_repeated_the_provider_is_asked_once_more(world: World) -> None:
    adapter = world.fake("sms", ASKED)
    world.channels["sms"] = ChannelSettings(on_unknown="retry")
    adapter.then(Unknown("read timed out"))
    adapter.answers(None, None, None, Accepted("p1"))
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)

    [first] = await deliver(world.worker(), [world.order(enrolment, digest)])
    [second] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert isinstance(first, Retry)
    assert second == Settled("hi", "sent", AT, "sms")
    assert (adapter.asked, len(adapter.attempts)) == (4, 1)
    assert (await world.row(enrolment)).provider_id == "p1"


@pytest.mark.parametrize(
    ("taken", "result", "state"), [(True, "sent", "accepted"), (False, "unknown", "unknown")]
)
async def test_a_call_that_a_dead_worker_left_is_asked_after_and_not_made_again(
    world: World, taken: bool, result: str, state: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(one: Message) -> Accepted:
        if taken:
            adapter.taken[one.key] = one
        raise Killed

    adapter = world.fake("sms", ASKED)
    adapter.then(kill)
    digest = world.plan(message(channels=("sms",)))
    enrolment = await world.customer(digest)
    with pytest.raises(Killed):
        await deliver(world.worker("dead"), [world.order(enrolment, digest)])
    async with world.database.begin() as connection:
        await connection.execute(
            sa.text("""UPDATE deliveries SET claimed_at = claimed_at - interval '5 minutes',
                       sending_at = sending_at - interval '5 minutes'""")
        )
    assert await sweep(world.worker("w2")) == 1
    assert (await world.row(enrolment)).state == "claimed"

    [answered] = await deliver(world.worker("w2"), [world.order(enrolment, digest)])

    assert answered == Settled("hi", result, AT, "sms")  # type: ignore[arg-type]
    assert len(adapter.attempts) == 1
    assert (await world.row(enrolment)).state == state
