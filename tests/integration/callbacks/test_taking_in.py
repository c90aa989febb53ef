"""Calls of providers: who is believed, what is kept, and what it becomes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from channels.inbound import Call
from channels.testing.twilio import FakeTwilio
from channels.testing.wechat import FakeWeChat
from channels.testing.wechat_calls import Caller
from channels.testing.wecom import FakeWeCom

from .conftest import ADDRESSES, AES_KEY, APP, CORP, TOKEN, WECHAT_SECRET, WECOM_SECRET, Station


def wecom() -> FakeWeCom:
    return FakeWeCom(CORP, WECOM_SECRET, callback_token=TOKEN, callback_key=AES_KEY)


def wechat() -> FakeWeChat:
    return FakeWeChat(APP, WECHAT_SECRET, callback_token=TOKEN)


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_new_friend_is_written_answered_and_becomes_an_event_on_a_new_profile(
    station: Station,
) -> None:
    answer = await station.call("wecom", "wecom", wecom().befriend("wm-1", "zhang", "shop-8"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert await station.kept() == [("wecom", "inbound", "waiting", None)]

    assert (await station.work_off()).taken == 1

    assert await station.kept() == []
    [event] = await station.events("wecom", "wm-1")
    assert (event.name, event.source, event.routed_at) == ("wecom.friend_added", "wecom:wecom", None)
    assert (event.properties["staff"], event.properties["state"]) == ("zhang", "shop-8")
    assert event.properties["welcome_code"]
    assert now() - timedelta(minutes=1) < event.occurred_at <= now()


async def test_the_address_is_checked_as_the_provider_does(station: Station) -> None:
    plain = Caller(TOKEN, APP).check(now(), "echo-1")
    sealed = Caller(TOKEN, CORP, AES_KEY).check(now(), "echo-2", encrypted=True)
    assert (await station.call("wechat", "wechat", plain)).content == b"echo-1"
    assert (await station.call("wecom", "wecom", sealed)).content == b"echo-2"
    assert await station.kept() == []


@pytest.mark.parametrize(
    "address", ["wechat/wrong", f"wecom/{ADDRESSES['wechat']}", f"nobody/{ADDRESSES['wechat']}", "wechat/"]
)
async def test_a_wrong_address_is_like_none(station: Station, address: str) -> None:
    answer = await station.http.post(f"/callbacks/{address}", content=b"<xml/>")
    nothing = await station.http.post("/no/such/page", content=b"<xml/>")
    assert answer.status_code == 404
    assert answer.json() == nothing.json()


async def test_a_call_with_a_wrong_signature_is_refused_counted_and_leaves_nothing(station: Station) -> None:
    call = wechat().caller.call(now(), {"FromUserName": "o-1", "MsgType": "event", "Event": "subscribe"})
    forged = Call(call.method, {**call.query, "signature": "0" * 40}, call.headers, call.body, call.at)
    answer = await station.call("wechat", "wechat", forged)
    assert answer.status_code == 403
    assert await station.kept() == []
    metrics = (await station.http.get("/metrics")).text
    assert 'kairos_callbacks_total{channel="wechat",result="forged"} 1.0' in metrics


async def test_the_secret_of_an_address_is_in_no_log_and_no_metric(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    call = wecom().befriend("wm-1", "zhang")
    await station.call("wecom", "wecom", call)
    await station.http.post(f"/callbacks/wechat/{ADDRESSES['wecom']}", content=b"")
    shown = (await station.http.get("/metrics")).text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("kairos")]
    assert any("/callbacks/{adapter}/{secret}" in line for line in ours)
    assert 'route="/callbacks/{adapter}/{secret}"' in shown
    assert not [line for line in (*ours, shown) if ADDRESSES["wecom"] in line]


async def test_a_replayed_call_that_is_old_is_refused_and_a_fresh_one_changes_nothing(
    station: Station,
) -> None:
    old = wechat().caller.call(
        now() - timedelta(hours=1), {"FromUserName": "o-1", "MsgType": "event", "Event": "subscribe"}
    )
    assert (await station.call("wechat", "wechat", old)).status_code == 403

    fresh = wechat().caller.call(now(), {"FromUserName": "o-1", "MsgType": "event", "Event": "subscribe"})
    for _ in range(3):
        assert (await station.call("wechat", "wechat", fresh)).content == b"success"
        await station.work_off()
    assert [e.name for e in await station.events("wechat", f"{APP}/o-1")] == ["wechat.followed"]


async def test_the_same_call_waits_once(station: Station) -> None:
    fresh = wechat().caller.call(now(), {"FromUserName": "o-1", "MsgType": "event", "Event": "subscribe"})
    for _ in range(3):
        assert (await station.call("wechat", "wechat", fresh)).status_code == 200
    assert len(await station.kept()) == 1


async def test_an_entity_bomb_is_refused(station: Station) -> None:
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "ha">'
        + b"".join(
            b'<!ENTITY %s "%s">' % (name, b"&%s;" % before * 10)
            for before, name in zip(b"a b c d e f g".split(), b"b c d e f g h".split(), strict=True)
        )
        + b"]><xml><FromUserName>&h;</FromUserName></xml>"
    )
    answer = await station.call("wechat", "wechat", wechat().caller.call(now(), bomb))
    assert answer.status_code == 403
    assert await station.kept() == []


async def test_a_body_of_10_mb_is_refused_before_it_is_read(station: Station) -> None:
    call = wechat().caller.call(now(), b"<xml>" + b"x" * 10_000_000 + b"</xml>")
    answer = await station.call("wechat", "wechat", call)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert await station.kept() == []


async def test_a_packed_body_is_refused(station: Station) -> None:
    call = wechat().caller.call(now(), {"FromUserName": "o-1", "MsgType": "event", "Event": "subscribe"})
    packed = Call(call.method, call.query, {"content-encoding": "gzip"}, call.body, call.at)
    assert (await station.call("wechat", "wechat", packed)).status_code == 415


async def test_who_writes_to_stop_has_consent_for_that_channel_withdrawn_once(station: Station) -> None:
    told = [
        {
            "phone_number": "13800000000",
            "send_time": (now() + timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S"),
            "content": "ＴＤ",
            "dest_code": "1069",
            "sequence_id": 7,
        }
    ]
    call = Call("POST", {}, {"content-type": "application/json"}, json.dumps(told).encode(), now())
    for _ in range(2):
        answer = await station.call("aliyun_sms", "sms", call)
        assert answer.json() == {"code": 0, "msg": "OK"}
        await station.work_off()

    listed = await station.events("phone", "+8613800000000")
    assert sorted(event.name for event in listed) == ["consent.changed", "sms.replied"]
    assert await station.count("consents", "channel = 'sms' AND NOT granted") == 1


async def test_a_channel_whose_settings_are_wrong_asks_for_patience(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBACK_KEY")
    await station.apply(
        {
            "kairos.yaml": f"""
channels:
  wecom:
    adapter: wecom
    callback_secret: ${{WECOM_ADDRESS}}
    settings: {{corp_id: {CORP}, secret: "${{WECOM_SECRET}}", callback_token: "${{CALLBACK_TOKEN}}",
               callback_key: "${{CALLBACK_KEY}}"}}
""",
            "journeys/catalog.yaml": "events: {}\n",
        }
    )
    call = wecom().befriend("wm-1", "zhang")
    answer = await station.call("wecom", "wecom", call)
    while answer.status_code == 200:  # until the new settings are seen
        answer = await station.call("wecom", "wecom", call)
    assert answer.status_code == 503


async def test_routes_of_one_adapter_are_heard_each_by_its_own_signature(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://go.example.com/callbacks/twilio/{ADDRESSES['sms']}"
    accounts = [FakeTwilio(f"AC{n:032x}", f"token-{n}", []) for n in (1, 2)]
    routes = []
    for place, account in enumerate(accounts):
        monkeypatch.setenv(f"TWILIO_{place}", account.auth_token)
        settings = (
            f'account_sid: {account.account_sid}, auth_token: "${{TWILIO_{place}}}", '
            f'from: "+15005550006", callback_url: "{url}"'
        )
        routes.append(f"      - {{name: account-{place}, adapter: twilio, settings: {{{settings}}}}}\n")
    project = "version: 1\nchannels:\n  sms:\n    callback_secret: ${SMS_ADDRESS}\n    routes:\n"
    await station.apply({"kairos.yaml": project + "".join(routes)})
    await asyncio.sleep(1.1)

    forged = FakeTwilio(accounts[0].account_sid, "another", [])
    told = []
    for place, account in enumerate([*accounts, forged]):
        form = {"MessageSid": f"SM{place}", "From": "+15005550100", "Body": "Hello"}
        headers, body = account.signed(url, form)
        call = Call("POST", {}, headers, body, now())
        told.append((await station.call("twilio", "sms", call)).status_code)

    assert told == [200, 200, 403]
    assert len(await station.kept()) == 2
