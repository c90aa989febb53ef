"""`wechat_miniprogram`: agreements, field rules, the codes, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels import Accepted, Message, Reason, Rejected, Throttled, create
from channels.inbound import Heard, Reply
from channels.port import Adapter
from channels.receipt import DeliveryState
from channels.testing.wechat_fields import broken
from channels.testing.wechat_miniprogram import FakeMiniProgram
from channels.wechat_miniprogram import CODES

APP, SECRET = "wx9d3a1b2c4e5f6071", "an-app-secret"
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
OPEN_ID = "o6zAJs3oh85Zb1lJE8oWixaaaaaa"
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
PART = {"template_id": "T1", "page": "pages/index?from=kairos", "data": {"thing1": {"value": "新茶"}}}


def message(part: Any, key: str = "k", address: str = OPEN_ID) -> Message:
    return Message(
        key=key,
        channel="miniprogram",
        address=address,
        parts={"json": json.dumps(part)},
        template="t",
        at=AT,
    )


@asynccontextmanager
async def program(**changes: Any) -> AsyncIterator[tuple[FakeMiniProgram, Adapter]]:
    async with FakeMiniProgram(
        APP, SECRET, templates={"T1": ("thing1",)}, callback_key=KEY, **changes
    ) as fake:
        fake.agree(OPEN_ID, "T1", AT)
        settings = {
            **{"app_id": APP, "secret": "${SECRET}", "url": fake.url, "timeout": 0.4},
            **{"callback_token": "${TOKEN}", "callback_key": "${KEY}"},
        }
        environ = {"SECRET": SECRET, "TOKEN": "callback-token", "KEY": KEY}
        async with create("wechat_miniprogram", "miniprogram", settings, environ=environ) as ours:
            yield fake, ours


async def test_one_agreement_is_one_message() -> None:
    async with program() as (fake, ours):
        outcomes = [(await ours.send([message(PART, f"k{n}")]))[0] for n in range(2)]
        assert isinstance(outcomes[0], Accepted)
        assert outcomes[0].provider_id == fake.sent[0].id
        assert isinstance(outcomes[1], Rejected)
        assert outcomes[1].reason is Reason.WINDOW
    assert fake.sent[0].document == {
        **PART,
        "touser": OPEN_ID,
        "miniprogram_state": "formal",
        "lang": "zh_CN",
    }


async def test_an_agreement_for_long_is_not_used_up() -> None:
    async with program(long_term=("T1",)) as (_, ours):
        outcomes = [(await ours.send([message(PART, f"k{n}")]))[0] for n in range(3)]
    assert [type(o) for o in outcomes] == [Accepted] * 3


@pytest.mark.parametrize(
    ("part", "reason", "detail"),
    [
        ({**PART, "page": "pages/secret"}, Reason.CONTENT, "errcode 41030"),
        ({**PART, "data": {"thing1": {"value": "茶" * 21}}}, Reason.CONTENT, "errcode 47003"),
        ({**PART, "data": {"thing2": {"value": "茶"}}}, Reason.CONTENT, "errcode 47003"),
        ({**PART, "template_id": "T9"}, Reason.CREDENTIALS, "errcode 40037"),
        ({**PART, "data": []}, Reason.CONTENT, "the part json needs template_id and data"),
        ({**PART, "touser": "o"}, Reason.CONTENT, "the part json sets touser, which the adapter does"),
    ],
)
async def test_what_the_provider_would_refuse_is_refused(part: Any, reason: Reason, detail: str) -> None:
    async with program() as (_, ours):
        [outcome] = await ours.send([message(part)])
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.detail) == (reason, detail)


async def test_another_app_s_open_id_is_refused_here() -> None:
    async with program() as (fake, ours):
        [outcome] = await ours.send([message(PART, address=f"wxother/{OPEN_ID}")])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.ADDRESS_INVALID
        assert list(fake.calls) == []


@pytest.mark.parametrize("code", [*CODES, 99999])
async def test_every_code_has_its_outcome(code: int) -> None:
    async with program() as (fake, ours):
        fake.say(code)
        [outcome] = await ours.send([message(PART)])
    expected = CODES.get(code, Rejected(Reason.OTHER))
    assert type(outcome) is type(expected)
    if isinstance(outcome, Rejected) and isinstance(expected, Rejected):
        assert (outcome.reason, outcome.detail) == (expected.reason, f"errcode {code}")
    if isinstance(outcome, Throttled):
        assert outcome.retry_after


def test_every_code_is_in_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "wechat_miniprogram.md").read_text("utf-8")
    rows = page.partition("## How answers are read")[2].partition("\n## ")[0]
    known = {int(code) for code in re.findall(r"(?<!\d)-?\d+(?!\d)", re.sub(r"\(.*?\)", "", rows))}
    assert set(CODES) - known == set()


async def test_agreements_are_events_and_a_receipt_names_its_message() -> None:
    async with program() as (fake, ours):
        calls = [
            fake.agree(OPEN_ID, "T1", AT),
            fake.agree(OPEN_ID, "T1", AT, "reject"),
            fake.withdraw(OPEN_ID, "T1", AT),
        ]
        told = [(await ours.hear(call)).inbound[0] for call in calls]
        assert [(i.name, i.properties) for i in told] == [
            ("miniprogram.subscribed", {"template_id": "T1", "scene": "0"}),
            ("miniprogram.subscribe_refused", {"template_id": "T1", "scene": "0"}),
            ("miniprogram.unsubscribed", {"template_id": "T1"}),
        ]
        assert {i.identities for i in told} == {(("wechat", f"{APP}/{OPEN_ID}"),)}
        fake.agree(OPEN_ID, "T1", AT)
        [sent] = await ours.send([message(PART)])
        assert isinstance(sent, Accepted)
        for code, state in ((0, DeliveryState.DELIVERED), (43101, DeliveryState.FAILED)):
            [receipt] = (await ours.hear(fake.receipt(fake.sent[0], AT, code))).receipts
            assert (receipt.state, receipt.provider_id) == (state, sent.provider_id)


async def test_a_message_to_the_mini_program_is_an_event_and_the_rest_is_passed_over() -> None:
    async with program() as (fake, ours):
        words = {"FromUserName": OPEN_ID, "MsgType": "text", "Content": "茶", "MsgId": "1"}
        [inbound] = (await ours.hear(fake.caller.call(AT, words))).inbound
        assert (inbound.name, inbound.properties) == (
            "miniprogram.messaged",
            {"kind": "text", "text": "茶"},
        )
        other = {"FromUserName": OPEN_ID, "MsgType": "event", "Event": "user_enter_tempsession"}
        assert await ours.hear(fake.caller.call(AT, other)) == Heard(Reply(body=b"success"))


async def test_calls_in_json_are_read_as_those_in_xml() -> None:
    async with program() as (fake, ours):
        document = {
            "FromUserName": OPEN_ID,
            "CreateTime": int(AT.timestamp()),
            "MsgType": "event",
            "Event": "subscribe_msg_popup_event",
            "List": [{"TemplateId": "T1", "SubscribeStatusString": "accept", "PopupScene": "0"}],
        }
        [in_json] = (await ours.hear(fake.caller.call(AT, json.dumps(document).encode()))).inbound
        [in_xml] = (await ours.hear(fake.agree(OPEN_ID, "T1", AT))).inbound
    assert in_json == in_xml


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("thing1", "茶" * 20, "茶" * 21),
        ("number1", "12.50", "12,50"),
        ("letter1", "abc", "茶"),
        ("character_string1", "A-23/x", "茶"),
        ("time1", "2026-11-11 10:00", "tomorrow"),
        ("date1", "2026年11月11日", "soon"),
        ("amount1", "¥120.50", "a lot"),
        ("phone_number1", "+86-0571-88888888", "call me"),
        ("name1", "王小明", "王小明王小明王小明王小"),
        ("phrase1", "已发货", "shipped"),
        ("words1", "anything at all", "two\nlines"),
    ],
)
def test_the_fake_knows_the_rules_of_fields(name: str, right: str, wrong: str) -> None:
    assert broken({name: {"value": right}}) is None
    assert broken({name: {"value": wrong}}) == f"{name}.data"
