"""`tencent_sms`: signatures as the SDK makes them, batches, codes, receipts and replies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
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
from channels.tencent_sms import CODES, sign
from channels.testing.api import Request, said
from channels.testing.tencent_sms import MOST_A_DAY, FakeTencentSms
from tests.unit.channels.calls import NOW, call, message

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tencent_tc3.json").read_text("utf-8"))[
    "vectors"
]
SECRET = "a-secret"


def text(name: str = "梅") -> dict[str, str]:
    return {"text": f"{name}，您的龙井还在。拒收请回复R"}


@asynccontextmanager
async def tencent(**settings: Any) -> AsyncIterator[tuple[FakeTencentSms, Adapter]]:
    approved = {"449739": "{1}，您的{2}还在。拒收请回复R", "1": "您好"}
    async with FakeTencentSms("AKIDexample", SECRET, "1400006666", "南寻茶馆", approved) as fake:
        given = {
            "secret_id": "AKIDexample",
            "secret_key": SECRET,
            "sdk_app_id": "1400006666",
            "sign_name": "南寻茶馆",
            "templates": approved,
            "endpoint": fake.url,
            "timeout": 0.4,
            **settings,
        }
        async with create("tencent_sms", "sms", given) as adapter:
            yield fake, adapter


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_signature_is_the_sdk_s(vector: Mapping[str, Any]) -> None:
    body = vector["body"].encode()
    made = sign(vector["secret_id"], vector["secret"], vector["host"], vector["timestamp"], body)
    assert made == vector["authorization"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_fake_verifies_what_the_sdk_signed_and_notices_any_change(vector: Mapping[str, Any]) -> None:
    fake = FakeTencentSms(vector["secret_id"], vector["secret"], "", "", {})
    headers = {
        "authorization": vector["authorization"],
        "content-type": "application/json",
        "host": vector["host"],
        "x-tc-timestamp": str(vector["timestamp"]),
    }
    for body, code in ((vector["body"], "SignatureExpire"), (vector["body"] + " ", "SignatureFailure")):
        refusal = fake.forgery(Request("POST", "/", headers, body.encode()))
        assert refusal is not None
        # The date of the vector has passed: the fake tells that from a wrong signature.
        assert refusal.answer["Response"]["Error"]["Code"] == f"AuthFailure.{code}"


async def test_equal_texts_go_out_in_one_call_and_each_number_has_its_own_outcome() -> None:
    async with tencent() as (fake, adapter):
        fake.stopped.add("+8613800000001")
        outcomes = await adapter.send([message(n, parts=text()) for n in range(3)])
        assert [type(o) for o in outcomes] == [Accepted, Rejected, Accepted]
        assert len(fake.calls) == 1
        assert [m.address for m in fake.messages] == ["+8613800000000", "+8613800000002"]
        assert [getattr(o, "provider_id", None) for o in outcomes] == [
            fake.messages[0].id,
            None,
            fake.messages[1].id,
        ]
    refusal = outcomes[1]
    assert isinstance(refusal, Rejected)
    assert refusal.opt_out
    assert refusal.reason is Reason.OPTED_OUT


async def test_other_texts_abroad_and_the_same_number_again_need_a_call_of_their_own() -> None:
    batch = [
        message(0, parts=text()),
        message(1, parts=text("兰")),
        message(2, parts=text(), address="+85298765432"),
        message(3, parts=text(), address="+8613800000000"),
        message(4, parts={"text": "nobody approved this"}),
        message(5, parts=text()),
    ]
    async with tencent() as (fake, adapter):
        outcomes = await adapter.send(batch)
        numbers = sorted(len(json.loads(c.body)["PhoneNumberSet"]) for c in fake.calls)
    assert [type(o) for o in outcomes] == [*[Accepted] * 4, Rejected, Accepted]
    assert numbers == [1, 1, 1, 2]


async def test_no_call_has_more_numbers_than_allowed() -> None:
    async with tencent(batch=7) as (fake, adapter):
        outcomes = await adapter.send([message(n, parts=text()) for n in range(20)])
        assert all(isinstance(o, Accepted) for o in outcomes)
        assert sorted(len(json.loads(c.body)["PhoneNumberSet"]) for c in fake.calls) == [6, 7, 7]


async def test_a_lost_answer_leaves_the_whole_call_unknown_and_no_other() -> None:
    async with tencent(connections=1) as (fake, adapter):
        fake.trouble("drop")
        outcomes = await adapter.send(
            [*(message(n, parts=text()) for n in range(3)), message(3, parts=text("兰"))]
        )
    assert [type(o) for o in outcomes] == [Unknown, Unknown, Unknown, Accepted]


async def test_a_message_alone_carries_its_key() -> None:
    async with tencent(batch=1) as (fake, adapter):
        await adapter.send([message(n, parts=text()) for n in range(2)])
        assert sorted(m.key for m in fake.messages) == ["key-0", "key-1"]
        assert fake.messages[0].text == "【南寻茶馆】梅，您的龙井还在。拒收请回复R"


async def test_a_template_without_variables() -> None:
    async with tencent() as (_fake, adapter):
        [outcome] = await adapter.send([message(parts={"text": "【南寻茶馆】您好"})])
        assert isinstance(outcome, Accepted)


async def test_marketing_at_night_waits_for_the_morning() -> None:
    async with tencent() as (fake, adapter):
        fake.night = True
        [outcome] = await adapter.send([message(parts=text())])
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after is not None
    assert timedelta(0) < outcome.retry_after <= timedelta(days=1)


async def test_a_number_that_got_enough_for_a_day_is_refused_for_its_quota() -> None:
    async with tencent() as (_, adapter):
        many = [message(n, address="+8613800000000", parts=text()) for n in range(MOST_A_DAY + 1)]
        refused = [o for o in await adapter.send(many) if isinstance(o, Rejected)]
    assert [o.reason for o in refused] == [Reason.QUOTA]


@pytest.mark.parametrize(
    "wrong", [{"secret_key": "x"}, {"secret_id": "AKID0"}, {"sdk_app_id": "1"}, {"sign_name": "别家"}]
)
async def test_wrong_credentials_are_the_operator_s(wrong: dict[str, str]) -> None:
    async with tencent(**wrong) as (fake, adapter):
        [outcome] = await adapter.send([message(parts=text())])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CREDENTIALS
        assert fake.messages == []


ERRORS: list[tuple[str, Outcome]] = [
    ("InternalError.Timeout", Unknown()),
    ("InternalError.SendAndRecvFail", Unknown()),
    ("InternalError.SigVerificationFail", Rejected(Reason.CREDENTIALS)),
    ("RequestLimitExceeded.UinLimitExceeded", Throttled()),
    ("LimitExceeded.AppDailyLimit", Rejected(Reason.QUOTA)),
    ("InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", Rejected(Reason.CONTENT)),
    ("ResourceInsufficient", Unavailable()),
    ("SomethingNew.Entirely", Rejected(Reason.OTHER)),
]


@pytest.mark.parametrize(("code", "expected"), ERRORS)
async def test_what_a_code_means_for_a_call_and_for_a_number(code: str, expected: Outcome) -> None:
    status = {"PhoneNumber": "+8613800000000", "Code": code}
    for response in ({"Error": {"Code": code, "Message": ""}}, {"SendStatusSet": [status]}):
        async with tencent() as (fake, adapter):
            document = {"Response": response}
            fake.serve = lambda request, document=document: said(200, document)  # type: ignore[method-assign, misc]
            [outcome] = await adapter.send([message(parts=text())])
        assert type(outcome) is type(expected)
        assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (200, "<html>", Unknown),
        (200, {"Response": {}}, Unknown),
        (200, {"Response": {"SendStatusSet": []}}, Unknown),
        (502, "<html>", Unavailable),
        (429, {}, Throttled),
    ],
)
async def test_an_answer_that_is_none(status: int, document: Any, kind: type) -> None:
    async with tencent() as (fake, adapter):
        fake.serve = lambda request: said(status, document)  # type: ignore[method-assign]
        [outcome] = await adapter.send([message(parts=text())])
    assert type(outcome) is kind


@pytest.mark.parametrize(
    ("errmsg", "description", "state", "reason"),
    [
        ("DELIVRD", "用户短信送达成功", DeliveryState.DELIVERED, None),
        ("MK:0001", "空号", DeliveryState.BOUNCED, Reason.ADDRESS_UNKNOWN),
        ("MBBLACK", "黑名单", DeliveryState.FAILED, Reason.BLOCKED),
        ("UNDELIV", "", DeliveryState.FAILED, Reason.OTHER),
    ],
)
async def test_receipts(errmsg: str, description: str, state: DeliveryState, reason: Reason | None) -> None:
    async with tencent() as (fake, adapter):
        [outcome] = await adapter.send([message(parts=text())])
        body = fake.report(*fake.messages, errmsg=errmsg, description=description)
        heard = await adapter.hear(call(body))
    [receipt] = heard.receipts
    assert isinstance(outcome, Accepted)
    assert (receipt.provider_id, receipt.state, receipt.reason) == (outcome.provider_id, state, reason)
    assert json.loads(heard.reply.body) == {"result": 0, "errmsg": "OK"}


@pytest.mark.parametrize(("words", "opt_out"), [("Ｔ", True), ("TD", True), ("好", False)])
async def test_replies(words: str, opt_out: bool) -> None:
    async with tencent() as (fake, adapter):
        body = fake.reply("13800000000", words, NOW)
        [reply] = (await adapter.hear(call(body))).inbound
        [again] = (await adapter.hear(call(body))).inbound
        [other] = (await adapter.hear(call(fake.reply("13800000000", words, NOW + timedelta(1))))).inbound
    assert reply.identities == (("phone", "+8613800000000"),)
    assert (reply.name, reply.at, reply.opt_out) == ("sms.replied", NOW, opt_out)
    assert again.message_id == reply.message_id != other.message_id


@pytest.mark.parametrize("body", [b"", b"[1]", b"1", b"null", b"\xff", b"[" * 200_000])
async def test_what_tencent_would_never_say_is_forged(body: bytes) -> None:
    async with tencent() as (_, adapter):
        with pytest.raises(Forged):
            await adapter.hear(call(body))


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "tencent_sms.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []
