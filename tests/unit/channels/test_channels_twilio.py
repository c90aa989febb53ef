"""`twilio`: signatures as documented, codes, receipts and replies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

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
from channels.testing.api import said
from channels.testing.twilio import FakeTwilio
from channels.twilio import CODES, signature
from tests.unit.channels.calls import NOW, call, message

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "twilio_signatures.json").read_text())[
    "vectors"
]
SID = "AC" + "0" * 32
URL = "https://kairos.example.com/callbacks/twilio/s3cret"


@asynccontextmanager
async def twilio(**settings: Any) -> AsyncIterator[tuple[FakeTwilio, Adapter]]:
    async with FakeTwilio(SID, "a-token", ["+15005550006", "MG1"]) as fake:
        given = {
            "account_sid": SID,
            "auth_token": "a-token",
            "from": "+15005550006",
            "callback_url": URL,
            "endpoint": fake.url,
            "timeout": 0.4,
        }
        given.update(settings)
        given = {name: value for name, value in given.items() if value is not None}
        async with create("twilio", "sms", given) as adapter:
            yield fake, adapter


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_signature_is_as_documented(vector: Mapping[str, Any]) -> None:
    form = [(name, value) for name, value in vector["form"]]
    assert signature(vector["token"], vector["url"], form) == vector["signature"]


def test_the_fake_signs_as_documented() -> None:
    vector = VECTORS[0]
    headers, _ = FakeTwilio(SID, vector["token"], []).signed(vector["url"], dict(vector["form"]))
    assert headers["x-twilio-signature"] == vector["signature"]


async def test_a_message_and_where_its_receipt_goes() -> None:
    async with twilio() as (fake, adapter):
        [outcome] = await adapter.send([message(key="e/1:remind", parts={"text": "你好 & 再见"})])
        [taken] = fake.messages
    assert outcome == Accepted(taken.id, outcome.raw)
    assert (taken.address, taken.text) == ("+8613800000000", "你好 & 再见")
    assert taken.extra["StatusCallback"] == f"{URL}?key=e%2F1%3Aremind"


async def test_a_messaging_service_instead_of_a_number_and_no_callbacks() -> None:
    settings = {"from": None, "messaging_service": "MG1", "callback_url": None}
    async with twilio(**settings) as (fake, adapter):
        [outcome] = await adapter.send([message(parts={"text": "hello"})])
        assert isinstance(outcome, Accepted)
        assert fake.messages[0].extra["StatusCallback"] == ""


async def test_somebody_who_stopped_us_at_twilio_withdrew_consent() -> None:
    async with twilio() as (fake, adapter):
        fake.stopped.add("+8613800000000")
        [outcome] = await adapter.send([message(parts={"text": "hello"})])
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.opt_out) == (Reason.OPTED_OUT, True)
    assert "+8613800000000" not in f"{outcome} {outcome!r}"


async def test_what_is_too_long_is_not_sent() -> None:
    async with twilio() as (fake, adapter):
        [outcome] = await adapter.send([message(parts={"text": "x" * 1601})])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.TOO_LARGE
        assert not fake.calls


@pytest.mark.parametrize("wrong", [{"auth_token": "x"}, {"from": "+15005550007"}])
async def test_wrong_credentials_are_the_operator_s(wrong: dict[str, str]) -> None:
    async with twilio(**wrong) as (_, adapter):
        [outcome] = await adapter.send([message(parts={"text": "hello"})])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CREDENTIALS


ANSWERS: list[tuple[int, Any, Outcome]] = [
    (400, {"code": 21614}, Rejected(Reason.ADDRESS_INVALID)),
    (400, {"code": 63038}, Rejected(Reason.QUOTA)),
    (400, {"code": 99999}, Rejected(Reason.CONTENT)),
    (429, {"code": 20429}, Throttled()),
    (500, {"code": 20500}, Unavailable()),
    (502, "<html>", Unavailable()),
    (201, "<html>", Unknown()),
    (200, {}, Unknown()),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
async def test_what_an_answer_means(status: int, document: Any, expected: Outcome) -> None:
    async with twilio() as (fake, adapter):
        fake.serve = lambda request: said(status, document)  # type: ignore[method-assign]
        [outcome] = await adapter.send([message(parts={"text": "hello"})])
    assert type(outcome) is type(expected)
    assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)


RECEIPTS = [
    ("delivered", None, DeliveryState.DELIVERED, None, False),
    ("read", None, DeliveryState.OPENED, None, False),
    ("undelivered", "30005", DeliveryState.BOUNCED, Reason.ADDRESS_UNKNOWN, True),
    ("undelivered", "30007", DeliveryState.FAILED, Reason.CONTENT, False),
    ("failed", "30008", DeliveryState.FAILED, Reason.OTHER, False),
]


@pytest.mark.parametrize(("status", "code", "state", "reason", "permanent"), RECEIPTS)
async def test_receipts_are_known_by_key_and_sid(
    status: str, code: str | None, state: DeliveryState, reason: Reason | None, permanent: bool
) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": status, "To": "+1"} | ({"ErrorCode": code} if code else {})
    async with twilio() as (fake, adapter):
        headers, body = fake.signed(f"{URL}?key=e%2F1", form)
        heard = await adapter.hear(call(body, headers=headers, query={"key": "e/1"}))
    [receipt] = heard.receipts
    assert (receipt.key, receipt.provider_id, receipt.at) == ("e/1", "SM1", NOW)
    assert (receipt.state, receipt.reason, receipt.permanent) == (state, reason, permanent)
    assert heard.reply.body == b"<Response></Response>"


async def test_a_message_on_its_way_is_no_news() -> None:
    async with twilio() as (fake, adapter):
        headers, body = fake.signed(f"{URL}?key=k", {"MessageSid": "SM1", "MessageStatus": "sent"})
        heard = await adapter.hear(call(body, headers=headers, query={"key": "k"}))
    assert heard.receipts == ()
    assert heard.inbound == ()


@pytest.mark.parametrize(
    ("text", "kind", "opt_out"),
    [
        ("Stop", None, True),
        ("ＴＤ", None, True),
        ("hi", "STOP", True),
        ("STOP", "START", False),
        ("hi", None, False),
    ],
)
async def test_replies(text: str, kind: str | None, opt_out: bool) -> None:
    form = {"MessageSid": "SM2", "From": "+14158675309", "Body": text} | (
        {"OptOutType": kind} if kind else {}
    )
    async with twilio() as (fake, adapter):
        headers, body = fake.signed(URL, form)
        [reply] = (await adapter.hear(call(body, headers=headers))).inbound
    assert reply.identities == (("phone", "+14158675309"),)
    assert (reply.name, reply.message_id, reply.opt_out) == ("sms.replied", "twilio:SM2", opt_out)
    assert reply.properties["text"] == text


async def test_the_port_may_stand_in_the_signed_address_or_not() -> None:
    form = {"MessageSid": "SM2", "From": "+14158675309", "Body": "hi"}
    async with twilio() as (fake, adapter):
        headers, body = fake.signed(URL.replace(".com/", ".com:443/"), form)
        assert (await adapter.hear(call(body, headers=headers))).inbound


async def test_anything_changed_is_forged() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    async with twilio() as (fake, adapter):
        headers, body = fake.signed(f"{URL}?key=k", form)
        other, _ = fake.signed("https://elsewhere.example/", form)
        for changed in (
            call(body, headers=headers),
            call(body, headers=headers, query={"key": "k2"}),
            call(body + b"&x=1", headers=headers, query={"key": "k"}),
            call(body, query={"key": "k"}),
            call(body, headers=other, query={"key": "k"}),
            call(urlencode({**form, "MessageSid": "SM9"}).encode(), headers=headers, query={"key": "k"}),
            call(b"\xff", headers=headers, query={"key": "k"}),
            call(b"a&" * 2000, headers=headers, query={"key": "k"}),
        ):
            with pytest.raises(Forged):
                await adapter.hear(changed)
    async with twilio(callback_url=None) as (fake, adapter):
        with pytest.raises(Forged, match="callback_url"):
            await adapter.hear(call(body, headers=headers))


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "twilio.md").read_text("utf-8")
    assert [code for code in CODES if code not in page] == []
