"""`wechat`: the three kinds of message, the token, the codes, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels import Accepted, Forged, Message, Reason, Rejected, Throttled, Unavailable, Unknown, create
from channels.inbound import Heard, Inbound, Reply
from channels.port import Adapter
from channels.receipt import DeliveryState
from channels.testing.sink import Behaviour
from channels.testing.wechat import FakeWeChat
from channels.tokens import MemoryTokens
from channels.wechat import CODES

APP, SECRET = "wx2c2769f8efd9abc2", "an-app-secret"
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
OPEN_ID = "oIqRW6xCq9kqGpDJf8cBvZ5d7w0I"
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
TEXT = {"msgtype": "text", "text": {"content": "你好"}}
TEMPLATE = {"template_id": "T1", "url": "https://shop.example", "data": {"thing1": {"value": "新茶"}}}
ENVIRONMENT = {"SECRET": SECRET, "TOKEN": "callback-token", "KEY": KEY}


def message(part: Any, key: str = "k", address: str = OPEN_ID) -> Message:
    text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
    return Message(key=key, channel="wechat", address=address, parts={"json": text}, template="t", at=AT)


def adapter(fake: FakeWeChat, tokens: MemoryTokens | None = None, **settings: Any) -> Adapter:
    given = {
        **{"app_id": APP, "secret": "${SECRET}", "url": fake.url, "timeout": 0.4},
        **{"callback_token": "${TOKEN}", **settings},
    }
    return create("wechat", "wechat", given, environ=ENVIRONMENT, tokens=tokens)


@asynccontextmanager
async def account(**changes: Any) -> AsyncIterator[tuple[FakeWeChat, Adapter]]:
    async with FakeWeChat(APP, SECRET, templates={"T1": ("thing1",)}, **changes) as fake:
        fake.interact(OPEN_ID, "follow")
        async with adapter(fake) as ours:
            yield fake, ours


# --- kinds of message --------------------------------------------------------------------------------------


async def test_the_shape_of_the_part_says_which_kind_it_is() -> None:
    async with account() as (fake, ours):
        fake.grants[OPEN_ID, "T1"] = 1
        parts = [TEXT, TEMPLATE, {**TEMPLATE, "kind": "subscribe"}]
        outcomes = await ours.send([message(part, f"k{n}") for n, part in enumerate(parts)])
    assert [type(o) for o in outcomes] == [Accepted] * 3
    by_path = {sent.path.rsplit("/", 2)[1]: sent.document for sent in fake.sent}
    assert by_path["custom"] == {**TEXT, "touser": OPEN_ID}
    assert by_path["subscribe"] == {**TEMPLATE, "touser": OPEN_ID}
    assert by_path["template"] == {
        **TEMPLATE,
        "touser": OPEN_ID,
        "client_msg_id": by_path["template"]["client_msg_id"],
    }


async def test_a_template_message_keeps_its_key_and_so_goes_once() -> None:
    async with account() as (fake, ours):
        fake.behave("drop", times=1)
        assert isinstance((await ours.send([message(TEMPLATE)]))[0], Unknown)
        [again] = await ours.send([message(TEMPLATE)])
        assert isinstance(again, Accepted)
        assert again.provider_id == fake.sent[0].id
        [other] = await ours.send([message(TEMPLATE, "another")])
        assert isinstance(other, Accepted)
    assert len(fake.sent) == 2


async def test_texts_are_not_escaped_on_their_way() -> None:
    async with account() as (fake, ours):
        await ours.send([message(json.dumps(TEXT, ensure_ascii=True))])
    assert "你好".encode() in fake.calls[-1].body


@pytest.mark.parametrize(
    "part",
    [
        "",
        "{",
        "[]",
        '{"msgtype": "text", "text": {"content": NaN}}',
        '{"msgtype": "text", "text": {"content": 1e999}}',
        '{"msgtype": "text", "text": {"content": "\\ud800"}}',
        "[" * 100_000,
        {},
        {"msgtype": "text"},
        {"msgtype": ["text"], "text": {}},
        {**TEXT, "kind": "template"},
        {**TEMPLATE, "kind": "customer_service"},
        {**TEXT, "kind": "broadcast"},
        {**TEXT, "kind": []},
        {**TEXT, "touser": "o-somebody-else"},
        {**TEMPLATE, "client_msg_id": "mine"},
        {"template_id": "T1"},
    ],
)
async def test_a_part_that_is_no_message_is_refused_here(part: Any) -> None:
    async with account() as (fake, ours):
        [outcome] = await ours.send([message(part)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CONTENT
    assert list(fake.calls) == []


async def test_an_open_id_may_name_its_app_and_another_app_s_is_refused_here() -> None:
    async with account() as (fake, ours):
        mine, other = await ours.send(
            [message(TEXT, "a", f"{APP}/{OPEN_ID}"), message(TEXT, "b", f"wxother/{OPEN_ID}")]
        )
    assert isinstance(mine, Accepted)
    assert other == Rejected(Reason.ADDRESS_INVALID, "an open id of another app")
    assert [sent.to for sent in fake.sent] == [OPEN_ID]


# --- token -------------------------------------------------------------------------------------------------


async def test_two_processes_share_one_token() -> None:
    tokens = MemoryTokens()
    async with FakeWeChat(APP, SECRET) as fake:
        fake.interact(OPEN_ID, "message")
        fake.followers[OPEN_ID] = True
        async with adapter(fake, tokens) as one, adapter(fake, tokens) as other:
            for ours in (one, other, one):
                assert isinstance((await ours.send([message(TEXT)]))[0], Accepted)
        assert fake.token_calls == 1


async def test_a_token_revoked_in_the_middle_is_replaced_once_and_nothing_is_lost() -> None:
    async with account() as (fake, ours):
        fake.interact(OPEN_ID, "message")
        assert isinstance((await ours.send([message(TEXT)]))[0], Accepted)
        fake.revoke()
        outcomes = await ours.send([message(TEMPLATE, f"k{n}") for n in range(12)])
        assert [type(o) for o in outcomes] == [Accepted] * 12
        assert fake.token_calls == 2
        assert len(fake.sent) == 13


async def test_a_good_token_that_is_refused_is_forced_out() -> None:
    async with account() as (fake, ours):
        await ours.send([message(TEMPLATE)])
        fake.say(40001)
        before = fake.token
        assert isinstance((await ours.send([message(TEMPLATE, "b")]))[0], Accepted)
        assert fake.token == before + 1


async def test_a_token_is_not_forced_out_again_and_again() -> None:
    async with account() as (fake, ours):
        fake.say(40001, times=9)
        outcomes = [(await ours.send([message(TEMPLATE, f"k{n}")]))[0] for n in range(5)]
        assert [type(o) for o in outcomes] == [Unavailable] * 4 + [Accepted]
        assert fake.token == 1


async def test_a_token_that_is_refused_again_and_again_is_unavailable() -> None:
    async with account() as (fake, ours):
        fake.say(42001, times=2)
        [outcome] = await ours.send([message(TEMPLATE)])
        assert isinstance(outcome, Unavailable)
        assert isinstance((await ours.send([message(TEMPLATE)]))[0], Accepted)


async def test_a_wrong_secret_is_a_matter_of_credentials() -> None:
    async with FakeWeChat(APP, "another") as fake, adapter(fake) as ours:
        [outcome] = await ours.send([message(TEXT)])
    assert outcome == Rejected(Reason.CREDENTIALS, "no access token: errcode 40125")


async def test_without_an_answer_about_the_token_nothing_has_left() -> None:
    class Silent(FakeWeChat):
        def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
            return Behaviour("hang")

    async with Silent(APP, SECRET) as fake, adapter(fake) as ours:
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Unavailable)


# --- codes -------------------------------------------------------------------------------------------------


async def test_the_window_after_a_follow_is_three_messages_in_one_minute() -> None:
    now = [1_000.0]
    async with account(clock=lambda: now[0]) as (fake, ours):
        outcomes = [(await ours.send([message(TEXT, f"k{n}")]))[0] for n in range(4)]
        assert [type(o) for o in outcomes] == [Accepted] * 3 + [Rejected]
        assert outcomes[3] == Rejected(Reason.QUOTA, "errcode 45047", raw=outcomes[3].raw)
        now[0] += 60
        [late] = await ours.send([message(TEXT)])
        assert isinstance(late, Rejected)
        assert late.reason is Reason.WINDOW
        fake.interact(OPEN_ID, "message")
        fake.interact(OPEN_ID, "scan")  # allowances do not add up, and the better one stays
        now[0] += 3600
        outcomes = [(await ours.send([message(TEXT, f"m{n}")]))[0] for n in range(6)]
        assert [type(o) for o in outcomes] == [Accepted] * 5 + [Rejected]


async def test_somebody_who_unfollowed_is_no_longer_there() -> None:
    async with account() as (fake, ours):
        fake.followers[OPEN_ID] = False
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.ADDRESS_UNKNOWN
    assert not outcome.permanent  # they may come back


async def test_subscribe_notices_use_up_a_grant_and_keep_to_the_field_rules() -> None:
    part = {"kind": "subscribe", "template_id": "T1", "data": {"thing1": {"value": "茶" * 20}}}
    long = {**part, "data": {"thing1": {"value": "茶" * 21}}}
    async with account() as (fake, ours):
        fake.grants[OPEN_ID, "T1"] = 1
        outcomes = [(await ours.send([message(p)]))[0] for p in (long, part, part)]
    assert isinstance(outcomes[1], Accepted)
    assert [o.reason for o in outcomes if isinstance(o, Rejected)] == [Reason.CONTENT, Reason.WINDOW]


@pytest.mark.parametrize("code", [*CODES, 99999])
async def test_every_code_has_its_outcome(code: int) -> None:
    async with account() as (fake, ours):
        fake.say(code)
        [outcome] = await ours.send([message(TEXT)])
    expected = CODES.get(code, Rejected(Reason.OTHER))
    assert type(outcome) is type(expected)
    assert not isinstance(outcome, Accepted)
    assert outcome.detail == f"errcode {code}"
    if isinstance(outcome, Rejected):
        assert isinstance(expected, Rejected)
        assert (outcome.reason, outcome.opt_out) == (expected.reason, expected.opt_out)
    if isinstance(outcome, Throttled):
        assert outcome.retry_after


def test_every_code_is_in_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "wechat.md").read_text("utf-8")
    rows = page.partition("## How answers are read")[2].partition("\n## ")[0]
    known = {int(code) for code in re.findall(r"(?<!\d)-?\d+(?!\d)", re.sub(r"\(.*?\)", "", rows))}
    assert set(CODES) - known == set()


async def test_an_answer_in_html_is_unknown() -> None:
    async with account() as (fake, ours):
        fake.behave("ok", times=1, answer="<html>")
        [outcome] = await ours.send([message(TEXT)])
    assert isinstance(outcome, Unknown)


# --- what comes back ---------------------------------------------------------------------------------------


def event(sort: str, **fields: Any) -> dict[str, Any]:
    return {"FromUserName": OPEN_ID, "MsgType": "event", "Event": sort, **fields}


async def heard(fields: Mapping[str, Any], key: str | None = KEY, **settings: Any) -> Heard:
    fake = FakeWeChat(APP, SECRET, callback_key=key)
    ours = adapter(fake, callback_key="${KEY}" if key else None, **settings)
    return await ours.hear(fake.caller.call(AT, fields))


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize(
    ("fields", "name", "properties"),
    [
        (event("subscribe", EventKey=""), "wechat.followed", {}),
        (event("subscribe", EventKey="qrscene_店 8"), "wechat.followed", {"scene": "店 8"}),
        (event("unsubscribe"), "wechat.unfollowed", {}),
        (event("SCAN", EventKey="shop-8"), "wechat.scanned", {"scene": "shop-8"}),
        (event("CLICK", EventKey="our-teas"), "wechat.menu_clicked", {"key": "our-teas"}),
        (event("VIEW", EventKey="https://x.example"), "wechat.menu_clicked", {"url": "https://x.example"}),
        (
            {"FromUserName": OPEN_ID, "MsgType": "text", "Content": "茶", "MsgId": "23"},
            "wechat.messaged",
            {"kind": "text", "text": "茶"},
        ),
        (
            {"FromUserName": OPEN_ID, "MsgType": "image", "PicUrl": "http://x", "MsgId": "24"},
            "wechat.messaged",
            {"kind": "image"},
        ),
    ],
)
async def test_what_people_do_becomes_an_event(
    fields: dict[str, Any], name: str, properties: dict[str, str], key: str | None
) -> None:
    found = await heard(fields, key)
    [inbound] = found.inbound
    assert found.reply == Reply(body=b"success")
    assert inbound == Inbound(name, AT, inbound.message_id, (("wechat", f"{APP}/{OPEN_ID}"),), properties)


async def test_people_may_be_known_by_the_open_id_alone() -> None:
    [inbound] = (await heard(event("unsubscribe"), open_ids="plain")).inbound
    assert inbound.identities == (("wechat", OPEN_ID),)


async def test_the_same_call_again_has_the_same_id_and_no_other_has_it() -> None:
    calls = [
        event("subscribe"),
        event("unsubscribe"),
        event("SCAN", EventKey="a"),
        event("SCAN", EventKey="b"),
        {**event("subscribe"), "FromUserName": "oOther"},
        {**event("subscribe"), "CreateTime": int(AT.timestamp()) + 1},
        {"FromUserName": OPEN_ID, "MsgType": "text", "Content": "茶", "MsgId": "1"},
        {"FromUserName": OPEN_ID, "MsgType": "text", "Content": "茶", "MsgId": "2"},
    ]
    first, again = [[(await heard(fields)).inbound[0].message_id for fields in calls] for _ in range(2)]
    assert first == again
    assert len(set(first)) == len(calls)


async def test_every_template_that_was_asked_about_is_an_event_of_its_own() -> None:
    answers = {
        "List": [
            {"TemplateId": "T1", "SubscribeStatusString": "accept", "PopupScene": "2"},
            {"TemplateId": "T2", "SubscribeStatusString": "reject", "PopupScene": "2"},
        ]
    }
    found = await heard(event("subscribe_msg_popup_event", SubscribeMsgPopupEvent=answers))
    assert [(i.name, i.properties) for i in found.inbound] == [
        ("wechat.subscribed", {"template_id": "T1", "scene": "2"}),
        ("wechat.subscribe_refused", {"template_id": "T2", "scene": "2"}),
    ]
    assert len({i.message_id for i in found.inbound}) == 2
    change = {"List": {"TemplateId": "T1", "SubscribeStatusString": "reject"}}
    found = await heard(event("subscribe_msg_change_event", SubscribeMsgChangeEvent=change))
    assert [(i.name, i.properties) for i in found.inbound] == [("wechat.unsubscribed", {"template_id": "T1"})]


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ("success", DeliveryState.DELIVERED, None),
        ("failed:user block", DeliveryState.FAILED, Reason.BLOCKED),
        ("failed: system failed", DeliveryState.FAILED, Reason.OTHER),
        ("failed:freq limit", DeliveryState.FAILED, Reason.QUOTA),
    ],
)
async def test_a_receipt_names_the_message_as_its_send_did(
    status: str, state: DeliveryState, reason: Reason | None
) -> None:
    async with account() as (fake, ours):
        [sent] = await ours.send([message(TEMPLATE)])
        assert isinstance(sent, Accepted)
        told = event("TEMPLATESENDJOBFINISH", MsgID=sent.provider_id, Status=status)
        [receipt] = (await ours.hear(fake.caller.call(AT, told))).receipts
    assert (receipt.state, receipt.reason, receipt.provider_id) == (state, reason, sent.provider_id)


async def test_receipts_of_subscribe_notices_are_read() -> None:
    entries = [
        {"TemplateId": "T1", "MsgID": "7", "ErrorCode": "0", "ErrorStatus": "success"},
        {"TemplateId": "T1", "MsgID": "8", "ErrorCode": "43101", "ErrorStatus": "refuse"},
    ]
    fields = event("subscribe_msg_sent_event", SubscribeMsgSentEvent={"List": entries})
    found = await heard(fields)
    assert [(r.state, r.provider_id, r.reason) for r in found.receipts] == [
        (DeliveryState.DELIVERED, "7", None),
        (DeliveryState.FAILED, "8", Reason.WINDOW),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        event("LOCATION", Latitude="1"),
        event("subscribe", FromUserName=""),
        event("subscribe", CreateTime="soon"),
        event("TEMPLATESENDJOBFINISH", Status="success"),
        event("subscribe_msg_popup_event"),
        event("subscribe_msg_sent_event", SubscribeMsgSentEvent="text"),
        {"MsgType": "news"},
        {},
    ],
)
async def test_what_means_nothing_to_us_is_answered_and_passed_over(fields: dict[str, Any]) -> None:
    assert await heard(fields) == Heard(Reply(body=b"success"))


async def test_the_url_check_is_answered() -> None:
    fake = FakeWeChat(APP, SECRET)
    assert await adapter(fake).hear(fake.caller.check(AT, "5927")) == Heard(Reply(body=b"5927"))


async def test_without_a_token_of_ours_and_after_its_time_no_call_is_believed() -> None:
    fake = FakeWeChat(APP, SECRET)
    call = fake.caller.call(AT, event("unsubscribe"))
    late = type(call)(call.method, call.query, call.headers, call.body, AT + timedelta(minutes=11))
    for ours, given in ((adapter(fake, callback_token=None), call), (adapter(fake), late)):
        with pytest.raises(Forged):
            await ours.hear(given)
