"""`aliyun_sms`: signatures as the SDK makes them, codes, questions, receipts and replies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels import (
    Accepted,
    Adapter,
    DeliveryState,
    Forged,
    Outcome,
    Reason,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    create,
)
from channels.aliyun_sms import CODES, sign
from channels.testing.aliyun_sms import MOST_A_DAY, FakeAliyunSms
from channels.testing.api import Request, Taken, said
from tests.unit.channels.calls import NOW, call, message

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "aliyun_acs3.json").read_text("utf-8"))[
    "vectors"
]
SECRET = "a-secret"
TEXT = {"text": "梅，您的龙井还在。拒收请回复R"}


@asynccontextmanager
async def aliyun(**settings: Any) -> AsyncIterator[tuple[FakeAliyunSms, Adapter]]:
    approved = {"SMS_1": "${name}，您的${item}还在。拒收请回复R"}
    async with FakeAliyunSms("LTAI5tExample", SECRET, "南寻茶馆", approved) as fake:
        given = {
            "access_key_id": "LTAI5tExample",
            "access_key_secret": SECRET,
            "sign_name": "南寻茶馆",
            "templates": {"SMS_1": "{name}，您的{item}还在。拒收请回复R"},
            "endpoint": fake.url,
            "timeout": 0.4,
            **settings,
        }
        async with create("aliyun_sms", "sms", given) as adapter:
            yield fake, adapter


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_signature_is_the_sdk_s(vector: Mapping[str, Any]) -> None:
    query = sign(vector["key_id"], vector["secret"], vector["query"], vector["headers"])
    assert query[1] == vector["authorization"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_fake_verifies_what_the_sdk_signed_and_notices_any_change(vector: Mapping[str, Any]) -> None:
    fake = FakeAliyunSms(vector["key_id"], vector["secret"], "", {})
    text, authorization = sign(vector["key_id"], vector["secret"], vector["query"], vector["headers"])
    signed = sorted(vector["headers"])
    for target, same in ((f"/?{text}", True), (f"/?{text}1", False)):
        headers = {**vector["headers"], "authorization": vector["authorization"]}
        request = Request("POST", target, headers, b"")
        assert (fake.signature(request, signed) == authorization.rpartition("=")[2]) is same
    # The date of the vector has passed: the fake tells that from a wrong signature.
    request = Request("POST", f"/?{text}", headers, b"")
    refusal = fake.forgery(request)
    assert refusal is not None
    assert refusal.answer["Code"] == "InvalidTimeStamp.Expired"


async def test_people_get_the_signature_and_the_text_and_the_key_goes_along() -> None:
    async with aliyun() as (fake, adapter):
        [outcome] = await adapter.send([message(parts=TEXT)])
        [taken] = fake.messages
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id == taken.id
    assert (taken.key, taken.address) == ("key-0", "13800000000")
    assert taken.text == "【南寻茶馆】梅，您的龙井还在。拒收请回复R"


async def test_a_number_abroad_keeps_its_country_code() -> None:
    async with aliyun() as (fake, adapter):
        await adapter.send([message(address="+85298765432", parts=TEXT)])
        assert [m.address for m in fake.messages] == ["85298765432"]


async def test_a_text_that_nobody_approved_is_not_sent() -> None:
    async with aliyun() as (fake, adapter):
        [outcome] = await adapter.send([message(parts={"text": "something else"})])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CREDENTIALS
        assert not fake.calls


async def test_a_wrong_secret_and_a_wrong_signature_name_are_the_operator_s() -> None:
    for wrong in ({"access_key_secret": "another"}, {"access_key_id": "LTAI0"}, {"sign_name": "别家"}):
        async with aliyun(**wrong) as (fake, adapter):
            [outcome] = await adapter.send([message(parts=TEXT)])
            assert isinstance(outcome, Rejected)
            assert outcome.reason is Reason.CREDENTIALS
            assert fake.messages == []


async def test_a_link_in_a_variable_is_refused() -> None:
    async with aliyun() as (_, adapter):
        [outcome] = await adapter.send([message(parts={"text": "梅，您的https://a.b/还在。拒收请回复R"})])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CONTENT


async def test_more_than_a_day_s_quota_to_one_number_is_refused_for_its_quota() -> None:
    async with aliyun() as (_, adapter):
        outcomes = await adapter.send(
            [message(n, address="+8613800000000", parts=TEXT) for n in range(MOST_A_DAY + 1)]
        )
        refused = [o for o in outcomes if isinstance(o, Rejected)]
        assert [o.reason for o in refused] == [Reason.QUOTA]


ANSWERS: list[tuple[int, Any, Outcome]] = [
    (
        200,
        {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发小时级流控Permits:5"},
        Throttled(timedelta(hours=1)),
    ),
    (200, {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "?"}, Throttled(timedelta(minutes=1))),
    (400, {"Code": "Throttling.User"}, Throttled(timedelta(seconds=1))),
    (200, {"Code": "isv.AMOUNT_NOT_ENOUGH"}, Rejected(Reason.QUOTA)),
    (200, {"Code": "isv.SMS_TEMPLATE_ILLEGAL"}, Rejected(Reason.CREDENTIALS)),
    (403, {"Code": "Forbidden.RAM"}, Rejected(Reason.CREDENTIALS)),
    (200, {"Code": "isv.NEVER_SEEN"}, Rejected(Reason.OTHER)),
    (503, {"Code": "ServiceUnavailable"}, Unavailable()),
    (502, "<html>", Unavailable()),
    (200, "<html>", Unknown()),
    (200, {"Message": "OK"}, Unknown()),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
async def test_what_an_answer_means(status: int, document: Any, expected: Outcome) -> None:
    async with aliyun() as (fake, adapter):
        fake.serve = lambda request: said(status, document)  # type: ignore[method-assign]
        [outcome] = await adapter.send([message(parts=TEXT)])
    assert type(outcome) is type(expected)
    assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)
    if isinstance(expected, Throttled):
        assert isinstance(outcome, Throttled)
        assert outcome.retry_after == expected.retry_after


async def test_after_silence_the_provider_is_asked_by_our_key() -> None:
    async with aliyun() as (fake, adapter):
        for n in range(60):  # more than a page of the same number's messages
            fake.messages.append(Taken(f"other-{n}", "13800000000", "text"))
        fake.trouble("hang")
        lost = message(99, address="+8613800000000", parts=TEXT)
        [outcome] = await adapter.send([lost])
        assert isinstance(outcome, Unknown)
        never = message(98, address="+8613800000000", parts=TEXT)
        assert [type(o) for o in await adapter.query([lost, never])] == [Accepted, type(None)]


async def test_an_address_never_gets_into_the_words_of_an_outcome() -> None:
    async with aliyun() as (fake, adapter):
        fake.unknown_numbers.add("13800000000")
        [outcome] = await adapter.send([message(parts=TEXT)])
        assert isinstance(outcome, Rejected)
        assert outcome.permanent
        assert "13800000000" in str(outcome.raw)
        assert "13800000000" not in f"{outcome} {outcome!r}"


async def test_receipts_name_the_message_by_our_key_and_their_id() -> None:
    async with aliyun() as (fake, adapter):
        await adapter.send([message(n, parts=TEXT) for n in range(2)])
        heard = await adapter.hear(call(fake.report(*fake.messages, at=NOW)))
        assert {(r.state, r.key, r.at) for r in heard.receipts} == {
            (DeliveryState.DELIVERED, "key-0", NOW),
            (DeliveryState.DELIVERED, "key-1", NOW),
        }
        assert all(r.provider_id for r in heard.receipts)
        assert json.loads(heard.reply.body)["code"] == 0
        again = await adapter.hear(call(fake.report(*fake.messages, at=NOW)))
        assert again == heard


@pytest.mark.parametrize(
    ("err_code", "state", "reason"),
    [
        ("MOBILE_NOT_ON_SERVICE", DeliveryState.BOUNCED, Reason.ADDRESS_UNKNOWN),
        ("NUMBER_BLACKLIST", DeliveryState.FAILED, Reason.BLOCKED),
        ("MK:0012", DeliveryState.FAILED, Reason.OTHER),
    ],
)
async def test_receipts_of_failures(err_code: str, state: DeliveryState, reason: Reason) -> None:
    async with aliyun() as (fake, adapter):
        await adapter.send([message(parts=TEXT)])
        [receipt] = (await adapter.hear(call(fake.report(*fake.messages, err_code=err_code)))).receipts
        assert (receipt.state, receipt.reason, receipt.permanent) == (state, reason, False)


@pytest.mark.parametrize(("text", "opt_out"), [("Ｒ", True), ("退订", True), ("谢谢", False)])
async def test_replies_name_the_person_and_whether_they_want_no_more(text: str, opt_out: bool) -> None:
    async with aliyun() as (fake, adapter):
        [reply] = (await adapter.hear(call(fake.reply("13800000000", text, NOW, 7)))).inbound
    assert (reply.name, reply.message_id, reply.at) == ("sms.replied", "aliyun_sms:7", NOW)
    assert reply.identities == (("phone", "+8613800000000"),)
    assert reply.opt_out is opt_out
    assert reply.properties["text"] == text
    assert "13800000000" not in repr(reply)


async def test_times_are_beijing_s() -> None:
    async with aliyun() as (_, adapter):
        item = {"content": "T", "phone_number": "13800000000", "send_time": "2026-11-11 08:00:00"}
        body = json.dumps([{**item, "sequence_id": 1}]).encode()
        [reply] = (await adapter.hear(call(body))).inbound
    assert reply.at == datetime(2026, 11, 11, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[1]", b'"x"', b"\xff", b"[" * 200_000])
async def test_what_aliyun_would_never_say_is_forged(body: bytes) -> None:
    async with aliyun() as (_, adapter):
        with pytest.raises(Forged):
            await adapter.hear(call(body))


async def test_one_thing_that_cannot_be_read_does_not_lose_the_others() -> None:
    async with aliyun() as (fake, adapter):
        await adapter.send([message(parts=TEXT)])
        items = [{"success": True}, *json.loads(fake.report(*fake.messages))]
        heard = await adapter.hear(call(json.dumps(items).encode()))
        assert len(heard.receipts) == 1


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "aliyun_sms.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []
