"""What WeChat calls us with: signatures and encryption against wechatpy's, and everything that is forged."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels.documents import items, message_id, parse
from channels.inbound import Call, Forged
from channels.testing.wechat_calls import Caller
from channels.wechat_callback import CallReader
from channels.wechat_crypto import opener, read_aes_key, signature

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "wechat_calls.json").read_text("utf-8"))
TOKEN, KEY = VECTORS["token"], VECTORS["key"]
AT = datetime.fromtimestamp(1794391200, UTC)
APP = "wx2c2769f8efd9abc2"


def reader(key: str | None = KEY, **changes: Any) -> CallReader:
    return CallReader(TOKEN, key, APP, oldest=timedelta(minutes=10), **changes)


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_what_wechatpy_encrypts_and_signs_is_opened(vector: dict[str, str]) -> None:
    words = (TOKEN, vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert signature(*words) == vector["msg_signature"]
    assert opener(KEY, vector["receiver"])(vector["encrypt"]).decode() == vector["plain"]


def test_the_plain_signature_is_wechatpy_s() -> None:
    plain = VECTORS["plain_signature"]
    assert signature(TOKEN, plain["timestamp"], plain["nonce"]) == plain["signature"]


@pytest.mark.parametrize("vector", VECTORS["vectors"][:3])
def test_another_receiver_s_message_is_forged(vector: dict[str, str]) -> None:
    with pytest.raises(Forged, match="another receiver"):
        opener(KEY, vector["receiver"] + "x")(vector["encrypt"])


@pytest.mark.parametrize("sealed", ["", "!", "AAAA", base64.b64encode(bytes(64)).decode(), "茶"])
def test_what_the_key_did_not_encrypt_is_forged(sealed: str) -> None:
    with pytest.raises(Forged):
        opener(KEY, APP)(sealed)


@pytest.mark.parametrize("key", ["", "short", "x" * 42, "x" * 44, "é" * 43, "_" * 43])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="43 letters and digits") as caught:
        read_aes_key(key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_call_is_read(key: str | None) -> None:
    call = Caller(TOKEN, APP, key).call(AT, {"FromUserName": "o1", "Content": "茶 & <b>"})
    document = reader(key).read(call)
    assert document == {
        "ToUserName": APP,
        "CreateTime": "1794391200",
        "FromUserName": "o1",
        "Content": "茶 & <b>",
    }


def test_the_url_check_is_answered_with_its_own_words() -> None:
    caller = Caller(TOKEN, APP, KEY)
    assert reader(None).read(caller.check(AT, "5927782489442352469")) == b"5927782489442352469"
    assert reader(KEY).read(caller.check(AT, "echo")) == b"echo"
    encrypted = caller.check(AT, "echo", encrypted=True)
    assert reader(KEY, echo_encrypted=True).read(encrypted) == b"echo"
    with pytest.raises(Forged):
        reader(KEY, echo_encrypted=True).read(caller.check(AT, "echo"))


def changed(call: Call, **changes: Any) -> Call:
    fields = {"method": call.method, "query": call.query, "headers": call.headers, "body": call.body}
    return Call(**{**fields, "at": call.at, **changes})


@pytest.mark.parametrize("key", [None, KEY])
def test_a_call_with_anything_wrong_in_its_signature_is_forged(key: str | None) -> None:
    call = Caller(TOKEN, APP, key).call(AT, {"FromUserName": "o1"})
    reader(key).read(call)
    for name in ("timestamp", "nonce", "signature" if key is None else "msg_signature"):
        for value in ("", "0", "é"):
            with pytest.raises(Forged):
                reader(key).read(changed(call, query={**call.query, name: value}))
        without = {k: v for k, v in call.query.items() if k != name}
        with pytest.raises(Forged):
            reader(key).read(changed(call, query=without))
    with pytest.raises(Forged):
        CallReader("other", key, APP, oldest=timedelta(minutes=10)).read(call)


def test_once_there_is_a_key_a_plain_call_is_forged() -> None:
    call = Caller(TOKEN, APP).call(AT, {"FromUserName": "o1"})
    with pytest.raises(Forged, match="not encrypted"):
        reader(KEY).read(call)


@pytest.mark.parametrize("late", [timedelta(minutes=11), timedelta(minutes=-11)])
def test_a_replayed_call_is_forged(late: timedelta) -> None:
    call = Caller(TOKEN, APP, KEY).call(AT, {"FromUserName": "o1"})
    reader().read(changed(call, at=AT + late / 2))
    with pytest.raises(Forged, match="too old"):
        reader().read(changed(call, at=AT + late))


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;">]><xml><FromUserName>&c;</FromUserName></xml>"""
OUTSIDE = (
    b"""<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><FromUserName>&a;</FromUserName></xml>"""
)


@pytest.mark.parametrize(
    "body", [BOMB, OUTSIDE, b"", b"<xml>", b"\xff\xfe", b"plain words", b"{", b"[" * 100_000, b"{" * 5]
)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_body_that_is_no_plain_document_is_forged(body: bytes, key: str | None) -> None:
    with pytest.raises(Forged):
        reader(key).read(Caller(TOKEN, APP, key).call(AT, body))


def test_ten_megabytes_are_refused_before_they_are_looked_at() -> None:
    call = Caller(TOKEN, APP).call(AT, {"FromUserName": "o" * 10_000_000})
    with pytest.raises(Forged, match="too long"):
        reader(None).read(call)


def test_a_tag_that_comes_again_is_a_list_and_json_reads_alike() -> None:
    xml = parse(b"<xml><List><A>1</A></List><List><A>2</A></List><B/></xml>")
    assert xml == {"List": [{"A": "1"}, {"A": "2"}], "B": ""}
    assert items(xml["List"]) == items(parse(b'{"List": [{"A": "1"}, {"A": "2"}]}')["List"])
    assert items({"A": "1"}) == [{"A": "1"}]
    assert items("text") == items(None) == []


def test_a_message_id_holds_nobody_s_name() -> None:
    assert message_id("app", "o1", "1") == message_id("app", "o1", "1") != message_id("app", "o1", "2")
    assert "o1" not in message_id("app", "o1", "1")
