"""Whatever a provider, or anybody else, calls us with: it is read, passed over or forged, nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from channels.alipay_calls import GatewayCalls
from channels.alipay_http import raw_members, read_private_key, read_public_key, sign, to_sign
from channels.inbound import Call, Forged, Heard
from channels.registry import create
from channels.testing.alipay import KeyPair
from channels.testing.wechat_calls import Caller, xml
from channels.wechat_callback import CallReader
from channels.wechat_crypto import opener

APP, TOKEN, KEY = "wx2c2769f8efd9abc2", "callback-token", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
AT = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
OURS = KeyPair()
CALLER = Caller(TOKEN, APP, KEY)

NAMES = st.sampled_from(
    [
        *(
            "FromUserName",
            "CreateTime",
            "MsgType",
            "Event",
            "EventKey",
            "MsgId",
            "MsgID",
            "Content",
            "Status",
        ),
        *("ChangeType", "ExternalUserID", "UserID", "WelcomeCode", "List", "TemplateId", "ErrorCode"),
        *("SubscribeMsgPopupEvent", "SubscribeMsgSentEvent", "SubscribeStatusString"),
        *("FromAlipayUserId", "EventType", "ActionParam", "AppId", "Text"),
    ]
)
WORDS = st.sampled_from(
    [
        *("event", "text", "subscribe", "SCAN", "TEMPLATESENDJOBFINISH", "subscribe_msg_popup_event"),
        *("subscribe_msg_sent_event", "change_external_contact", "add_external_contact", "accept"),
        *("follow", "verifygw", "1794391200", "1794391200000", "99999999999", "99999999999999"),
        '{"scene": {"sceneId": 1}}',
    ]
) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
DOCUMENTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    NAMES,
    st.recursive(WORDS, lambda inner: st.dictionaries(NAMES, inner) | st.lists(inner), max_leaves=6),
)
ENVIRON = {"SECRET": "s", "TOKEN": TOKEN, "KEY": KEY}
SETTINGS = {"secret": "${SECRET}", "callback_token": "${TOKEN}", "callback_key": "${KEY}"}
WECHAT = create("wechat", "wechat", {"app_id": APP, **SETTINGS}, environ=ENVIRON)
PROGRAM = create("wechat_miniprogram", "miniprogram", {"app_id": APP, **SETTINGS}, environ=ENVIRON)
WECOM = create("wecom", "wecom", {"corp_id": APP, **SETTINGS}, environ=ENVIRON)


@given(st.binary(max_size=200))
def test_what_is_encrypted_for_us_is_opened_as_it_was(words: bytes) -> None:
    assert opener(KEY, APP)(CALLER.encrypt(words)) == words


@given(st.binary(max_size=300), st.booleans())
def test_any_body_under_a_right_signature_is_a_document_or_forged(body: bytes, encrypted: bool) -> None:
    caller = Caller(TOKEN, APP, KEY if encrypted else None)
    reader = CallReader(TOKEN, caller.aes_key, APP, oldest=timedelta(minutes=10))
    with suppress(Forged):
        assert isinstance(reader.read(caller.call(AT, body)), dict)


@given(DOCUMENTS, st.booleans())
async def test_any_document_is_heard_or_passed_over(document: dict[str, Any], in_json: bool) -> None:
    body = json.dumps(document).encode() if in_json else xml(document)
    for adapter in (WECHAT, PROGRAM, WECOM):
        heard = await adapter.hear(CALLER.call(AT, body))
        assert isinstance(heard, Heard)
        assert len({inbound.message_id for inbound in heard.inbound}) == len(heard.inbound)


@given(DOCUMENTS)
def test_any_call_of_alipay_is_heard_passed_over_or_forged(document: dict[str, Any]) -> None:
    form = {
        **{"service": "alipay.mobile.public.message.notify", "charset": "utf-8", "sign_type": "RSA2"},
        "biz_content": xml(document).decode(),
    }
    form["sign"] = sign(read_private_key(OURS.private), to_sign(form))
    calls = GatewayCalls(APP, read_private_key(OURS.private), read_public_key(OURS.public))
    try:
        assert isinstance(calls.read(Call("POST", {}, {}, urlencode(form).encode(), AT)), Heard)
    except Forged:
        assert document.get("AppId") not in (None, "", APP)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.sampled_from([None, 2]), st.booleans())
def test_the_members_of_an_object_are_its_text(
    document: dict[str, Any], indent: int | None, ascii: bool
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii)
    members = raw_members(text)
    assert {name: json.loads(value) for name, value in members.items()} == document
    assert all(value in text for value in members.values())
