"""`alipay` and `alipay_miniprogram`: signatures against the official SDK's, codes, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from channels import Accepted, Forged, Message, Reason, Rejected, Throttled, Unavailable, Unknown
from channels.alipay import AlipayAdapter, AlipaySettings
from channels.alipay_app import AlipayAppAdapter
from channels.alipay_calls import GatewayCalls
from channels.alipay_http import (
    CODES,
    Gateway,
    raw_members,
    read_private_key,
    read_public_key,
    sign,
    to_sign,
    verified,
)
from channels.alipay_miniprogram import AlipayMiniProgramAdapter, AlipayMiniProgramSettings
from channels.http import HttpClient
from channels.inbound import Call, Heard, Inbound, Reply
from channels.registry import check_settings
from channels.testing.alipay import CUSTOM, MINI, SINGLE, FakeAlipay, KeyPair

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "alipay_signatures.json").read_text("utf-8"))
APP, OURS = "2014072300007148", KeyPair()
USER, OPEN_ID = "2088102122458832", "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
TEXT = {"msg_type": "text", "text": {"content": "新茶"}}
TEMPLATE = {"template": {"template_id": "T1", "context": {"keyword1": {"value": "新茶"}}}}
MINI_PART = {"user_template_id": "T1", "page": "pages/index", "data": {"keyword1": {"value": "新茶"}}}


def message(part: Any, key: str = "k", address: str = USER) -> Message:
    text = part if isinstance(part, str) else json.dumps(part)
    return Message(key=key, channel="alipay", address=address, parts={"json": text}, template="t", at=AT)


@asynccontextmanager
async def gateway(
    mini: bool = False, settings: Mapping[str, Any] | None = None, **changes: Any
) -> AsyncIterator[tuple[FakeAlipay, AlipayAppAdapter]]:
    async with FakeAlipay(
        APP, OURS.public, templates={"T1": ("keyword1",)}, clock=lambda: AT, **changes
    ) as fake:
        fake.people |= {USER, OPEN_ID}
        given = {
            **{"app_id": APP, "private_key": OURS.private, "alipay_public_key": fake.public_key},
            **{"url": fake.url, "timeout": 0.4, **(settings or {})},
        }
        ours: AlipayAppAdapter
        if mini:
            checked = check_settings(AlipayMiniProgramSettings, given, "settings", {})
            ours = AlipayMiniProgramAdapter("miniprogram", checked, clock=lambda: AT)
        else:
            checked = check_settings(AlipaySettings, given, "settings", {})
            ours = AlipayAdapter("alipay", checked, clock=lambda: AT)
        async with ours:
            yield fake, ours


# --- signatures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["private_key", "private_key_pkcs8"])
def test_a_request_is_signed_as_the_official_sdk_signs_it(form: str) -> None:
    vector = VECTORS["request"]
    assert to_sign(vector["parameters"]) == vector["text"]
    assert sign(read_private_key(VECTORS[form]), vector["text"]) == vector["sign"]


def test_a_whole_request_is_the_official_sdk_s() -> None:
    vector = VECTORS["request"]
    ours = Gateway(
        "https://openapi.alipay.com/gateway.do",
        APP,
        read_private_key(VECTORS["private_key"]),
        read_public_key(VECTORS["public_key"]),
        {},
        HttpClient(),
        lambda: AT,
    )
    assert ours.request(CUSTOM, vector["content"]) == {**vector["parameters"], "sign": vector["sign"]}


@pytest.mark.parametrize("vector", VECTORS["answers"])
def test_an_answer_is_verified_over_its_node_as_it_stands(vector: dict[str, str]) -> None:
    key, node = read_public_key(VECTORS["public_key"]), vector["node"]
    for body in (
        f'{{"alipay_x_response":{node},"sign":"{vector["sign"]}"}}',
        f'\n{{ "sign" : "{vector["sign"]}" , "alipay_x_response" : {node} }} ',
    ):
        members = raw_members(body)
        assert members["alipay_x_response"] == node
        assert verified(key, members["alipay_x_response"], json.loads(members["sign"]))
    assert not verified(key, json.dumps(json.loads(node), sort_keys=True) + " ", vector["sign"])


@pytest.mark.parametrize("body", ["", "[]", "{", '{"a"', '{"a":1', '{"a":1,', '{"a":1 "b":2}', "nonsense"])
def test_a_body_that_is_no_object_has_no_members(body: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        raw_members(body)


def test_keys_are_read_with_and_without_armour() -> None:
    lines = re.sub(r"(.{64})", r"\1\n", VECTORS["public_key"])
    armoured = f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"
    assert read_public_key(armoured) == read_public_key(VECTORS["public_key"])
    for text in ("", "x", VECTORS["public_key"], "é"):
        with pytest.raises(ValueError, match="RSA private key") as caught:
            read_private_key(text)
        assert not text or text not in str(caught.value).replace("expected", "")


# --- sending -----------------------------------------------------------------------------------------------


async def test_the_shape_of_the_part_and_of_the_address_say_what_is_called() -> None:
    async with gateway() as (fake, ours):
        outcomes = await ours.send(
            [
                message(TEXT, "a"),
                message(TEXT, "b", f"{APP}/{OPEN_ID}"),
                message(TEMPLATE, "c"),
                message(TEMPLATE, "d", OPEN_ID),
            ]
        )
    assert [type(o) for o in outcomes] == [Accepted] * 4
    sent = {(s.method, s.to): s.content for s in fake.sent}
    assert sent == {
        (CUSTOM, USER): {**TEXT, "to_user_id": USER},
        (CUSTOM, OPEN_ID): {**TEXT, "open_id": OPEN_ID},
        (SINGLE, USER): {**TEMPLATE, "to_user_id": USER},
        (SINGLE, OPEN_ID): {**TEMPLATE, "to_open_id": OPEN_ID},
    }


async def test_a_mini_program_s_fields_go_as_a_text() -> None:
    async with gateway(mini=True) as (fake, ours):
        [outcome] = await ours.send([message(MINI_PART, address=OPEN_ID)])
    assert isinstance(outcome, Accepted)
    [sent] = fake.sent
    assert (sent.method, sent.to) == (MINI, OPEN_ID)
    assert json.loads(sent.content["data"]) == MINI_PART["data"]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({**MINI_PART, "page": "p" * 129}, Reason.TOO_LARGE),
        ({**MINI_PART, "data": {"keyword1": {"value": "茶" * 2048}}}, Reason.TOO_LARGE),
        ({**MINI_PART, "data": "text"}, Reason.CONTENT),
        ({"user_template_id": "T1", "data": {}}, Reason.CONTENT),
        ({**MINI_PART, "to_user_id": USER}, Reason.CONTENT),
    ],
)
async def test_a_mini_program_s_part_that_cannot_go_is_refused_here(part: Any, reason: Reason) -> None:
    async with gateway(mini=True) as (fake, ours):
        [outcome] = await ours.send([message(part)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason
    assert list(fake.calls) == []


@pytest.mark.parametrize(
    "part",
    [
        "{",
        {},
        {"msg_type": "text"},
        {"msg_type": ["text"], "text": {"content": "x"}},
        {"msg_type": "image-text", "text": {"content": "x"}},
        {"template": {}},
        {"template": "T1"},
        {**TEXT, "kind": "template"},
        {**TEXT, "open_id": OPEN_ID},
    ],
)
async def test_a_part_that_is_no_message_is_refused_here(part: Any) -> None:
    async with gateway() as (fake, ours):
        [outcome] = await ours.send([message(part)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CONTENT
    assert list(fake.calls) == []


@pytest.mark.parametrize("address", ["", "mei@example.net", "2088 1", f"2099000000000000/{OPEN_ID}"])
async def test_an_address_that_cannot_be_one_is_refused_here(address: str) -> None:
    async with gateway() as (fake, ours):
        [outcome] = await ours.send([message(TEXT, address=address)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.ADDRESS_INVALID
    assert list(fake.calls) == []


# --- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [*CODES, "40004", "99999"])
async def test_every_code_has_its_outcome(code: str) -> None:
    async with gateway() as (fake, ours):
        fake.say(code, "SOME_SUB_CODE")
        [outcome] = await ours.send([message(TEXT)])
    expected = CODES.get(code, Rejected(Reason.OTHER))
    assert type(outcome) is type(expected)
    assert isinstance(outcome, Rejected | Throttled | Unavailable)
    assert outcome.detail == f"code {code} SOME_SUB_CODE"
    if isinstance(outcome, Rejected) and isinstance(expected, Rejected):
        assert outcome.reason is expected.reason
    if isinstance(outcome, Throttled):
        assert outcome.retry_after


@pytest.mark.parametrize("name", ["alipay", "alipay_miniprogram"])
def test_every_code_is_in_the_page(name: str) -> None:
    page = (ROOT / "docs" / "channels" / f"{name}.md").read_text("utf-8")
    rows = page.partition("## How answers are read")[2].partition("\n## ")[0]
    assert {*CODES, "40004", "10000"} - set(re.findall(r"\d{5}", rows)) == set()


async def test_what_a_sub_code_means_is_the_installation_s_to_say() -> None:
    async with gateway(settings={"sub_codes": {"NO_SUCH_PERSON": "address_unknown"}}) as (fake, ours):
        fake.people.clear()
        [outcome] = await ours.send([message(TEXT)])
    assert outcome == Rejected(
        Reason.ADDRESS_UNKNOWN, "code 40004 NO_SUCH_PERSON", raw=getattr(outcome, "raw", None)
    )


async def test_how_many_a_person_may_get_is_the_provider_s_to_count() -> None:
    settings = {"sub_codes": {"TOO_MANY_FOR_THIS_PERSON": "quota"}}
    async with gateway(settings=settings, allowance=2) as (_, ours):
        outcomes = [(await ours.send([message(TEXT, f"k{n}")]))[0] for n in range(3)]
    assert [type(o) for o in outcomes] == [Accepted, Accepted, Rejected]
    assert isinstance(outcomes[2], Rejected)
    assert outcomes[2].reason is Reason.QUOTA


async def test_another_key_than_the_gateway_knows_is_a_matter_of_credentials() -> None:
    async with gateway(settings={"private_key": KeyPair().private}) as (_, ours):
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.detail) == (Reason.CREDENTIALS, "code 40002 isv.invalid-signature")


async def test_an_answer_that_alipay_did_not_sign_is_unknown() -> None:
    async with gateway(settings={"alipay_public_key": KeyPair().public}) as (fake, ours):
        [wrong] = await ours.send([message(TEXT)])
        fake.sign_answers = False
        [unsigned] = await ours.send([message(TEXT)])
        fake.say("40004", "REFUSED")
        [refused] = await ours.send([message(TEXT)])
    assert isinstance(wrong, Unknown)
    assert isinstance(unsigned, Unknown)
    assert isinstance(refused, Rejected)  # refusals may come unsigned


@pytest.mark.parametrize(
    "answer",
    ["<html>", [], {}, {"alipay_other_response": {"code": "10000"}}, {"error_response": "text"}],
)
async def test_an_answer_without_its_node_is_unknown(answer: Any) -> None:
    async with gateway() as (fake, ours):
        fake.behave("ok", times=1, answer=answer)
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Unknown)


async def test_a_refusal_of_the_gateway_itself_is_read() -> None:
    async with gateway() as (fake, ours):
        node = {"code": "40002", "sub_code": "isv.invalid-app-id"}
        fake.behave("ok", times=1, answer={"error_response": node})
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CREDENTIALS


# --- what comes back ---------------------------------------------------------------------------------------


def event(sort: str, **fields: Any) -> dict[str, Any]:
    return {"FromAlipayUserId": USER, "MsgType": "event", "EventType": sort, **fields}


async def heard(document: Mapping[str, Any], **changes: str) -> Heard:
    async with gateway() as (fake, ours):
        return await ours.hear(fake.call(AT, document, **changes))


@pytest.mark.parametrize("vector", VECTORS["calls"], ids=lambda v: f"sign_type {v['keeps_sign_type']}")
def test_calls_as_the_official_sdk_signs_them_are_believed(vector: dict[str, Any]) -> None:
    calls = GatewayCalls(APP, read_private_key(OURS.private), read_public_key(VECTORS["public_key"]))
    body = urlencode(vector["parameters"], encoding="gbk").encode()
    [inbound] = calls.read(Call("POST", {}, {}, body, AT)).inbound
    assert (inbound.name, inbound.properties) == ("alipay.followed", {"scene": "春茶"})


@pytest.mark.parametrize(
    ("document", "name", "properties"),
    [
        (event("follow"), "alipay.followed", {}),
        (event("follow", ActionParam='{"scene": {"sceneId": "店 8"}}'), "alipay.followed", {"scene": "店 8"}),
        (event("unfollow"), "alipay.unfollowed", {}),
        (event("enter"), "alipay.entered", {}),
        (event("click", ActionParam="our-teas"), "alipay.menu_clicked", {"key": "our-teas"}),
        (
            {"FromAlipayUserId": USER, "MsgType": "text", "MsgId": "1", "Text": {"Content": "茶"}},
            "alipay.messaged",
            {"kind": "text", "text": "茶"},
        ),
    ],
)
async def test_what_people_do_becomes_an_event(
    document: dict[str, Any], name: str, properties: dict[str, str]
) -> None:
    found = await heard(document)
    [inbound] = found.inbound
    assert found.reply == Reply(body=b"success")
    assert inbound == Inbound(name, AT, inbound.message_id, (("alipay", USER),), properties)


async def test_an_open_id_is_known_with_its_app() -> None:
    [inbound] = (await heard(event("follow", FromOpenId=OPEN_ID))).inbound
    assert inbound.identities == (("alipay", USER), ("alipay_open_id", f"{APP}/{OPEN_ID}"))


async def test_the_same_call_again_has_the_same_id_and_no_other_has_it() -> None:
    documents = [
        event("follow"),
        event("unfollow"),
        event("click", ActionParam="a"),
        event("click", ActionParam="b"),
        {**event("follow"), "CreateTime": str(int(AT.timestamp() * 1000) + 1)},
        {**event("follow"), "FromAlipayUserId": "2088000000000001"},
    ]
    first, again = [[(await heard(d)).inbound[0].message_id for d in documents] for _ in range(2)]
    assert first == again
    assert len(set(first)) == len(documents)


async def test_the_check_of_the_address_is_answered_with_our_key_signed() -> None:
    found = await heard({"EventType": "verifygw"}, service="alipay.service.check")
    assert found.reply.media_type == "text/xml"
    match = re.fullmatch(
        r'<\?xml version="1.0" encoding="UTF-8"\?><alipay><response>(.*)</response>'
        r"<sign>(.*)</sign><sign_type>RSA2</sign_type></alipay>",
        found.reply.body.decode(),
    )
    assert match is not None
    assert match[1] == f"<success>true</success><biz_content>{OURS.public}</biz_content>"
    assert verified(read_public_key(OURS.public), match[1], match[2])


@pytest.mark.parametrize(
    "document",
    [
        event("new_kind"),
        event("follow", FromAlipayUserId=""),
        event("follow", CreateTime="soon"),
        {},
    ],
)
async def test_what_means_nothing_to_us_is_answered_and_passed_over(document: dict[str, Any]) -> None:
    assert await heard(document) == Heard(Reply(body=b"success"))


@pytest.mark.parametrize(
    "changes",
    [
        {"sign_type": "RSA"},
        {"service": "alipay.trade.pay"},
        {"biz_content": '<!DOCTYPE x [<!ENTITY a "aaaa">]><XML><AppId>&a;</AppId></XML>'},
        {"biz_content": "<XML><AppId>2099000000000000</AppId><CreateTime>1</CreateTime></XML>"},
    ],
)
async def test_a_call_that_is_not_for_us_is_forged_although_it_is_signed(changes: dict[str, str]) -> None:
    with pytest.raises(Forged):
        await heard(event("follow"), **changes)


async def test_a_call_that_alipay_did_not_sign_is_forged() -> None:
    async with gateway() as (fake, ours):
        call = fake.call(AT, event("follow"))
        assert (await ours.hear(call)).inbound
        for body in (
            call.body.replace(b"follow", b"unfollow"),
            call.body.replace(b"sign=", b"sing="),
            call.body.replace(b"charset=GBK", b"charset=EBCDIC"),
            call.body + b"&more=1",
            b"",
            b"\xff",
            b"a=" + b"x" * 10_000_000,
        ):
            with pytest.raises(Forged):
                await ours.hear(Call("POST", {}, {}, body, AT))


async def test_a_mini_program_expects_no_calls() -> None:
    async with gateway(mini=True) as (fake, ours):
        with pytest.raises(Forged):
            await ours.hear(fake.call(AT, event("follow")))


async def test_a_request_is_dated_in_beijing() -> None:
    async with gateway() as (fake, ours):
        fake._clock = lambda: AT + timedelta(minutes=16)
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Rejected)
    assert outcome.detail == "code 40002 isv.invalid-timestamp"
