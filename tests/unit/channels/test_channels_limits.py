"""What adapters declare of their providers' limits, and which of them a message draws on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels import Adapter, Hours, Message, Need, Opening, names
from channels.aliyun_sms import AliyunSmsAdapter
from channels.outbox import OutboxAdapter
from channels.registry import create, find
from channels.tencent_sms import TencentSmsAdapter
from channels.twilio import TwilioAdapter
from channels.wechat import WeChatAdapter

SERVICE = {"msgtype": "text", "text": {"content": "Hello"}}
TEMPLATE = {"template_id": "t1", "data": {"thing1": {"value": "Tea"}}}


def adapter(name: str, channel: str) -> Adapter:
    settings = {
        "wechat": {"app_id": "a", "secret": "${S}"},
        "wechat_miniprogram": {"app_id": "a", "secret": "${S}"},
        "wecom": {"corp_id": "c", "secret": "${S}"},
        "outbox": {},
    }[name]
    return create(name, channel, settings, environ={"S": "s"})


def message(channel: str, part: Any) -> Message:
    text = part if isinstance(part, str) else json.dumps(part)
    at = datetime(2026, 11, 11, tzinfo=UTC)
    return Message(key="k", channel=channel, address="a", parts={"json": text}, template="t", at=at)


@pytest.mark.parametrize(
    ("name", "channel", "part", "need"),
    [
        ("wechat", "wechat", SERVICE, Need("customer_service")),
        ("wechat", "wechat", TEMPLATE, None),
        ("wechat", "wechat", {**TEMPLATE, "kind": "subscribe"}, Need("subscribe", "t1")),
        ("wechat", "wechat", "not JSON", None),
        ("wechat", "wechat", {"kind": "unheard of"}, None),
        ("wechat_miniprogram", "miniprogram", TEMPLATE, Need("subscribe", "t1")),
        ("wechat_miniprogram", "miniprogram", {"page": "x"}, None),
        ("wecom", "wecom", {"text": {"content": "Hello"}}, Need("group_send")),
        ("wecom", "wecom", {"welcome_code": "w", "text": {"content": "Hello"}}, None),
        ("wecom", "wecom", "[", None),
        ("outbox", "wechat", SERVICE, None),
    ],
)
def test_a_message_draws_on(name: str, channel: str, part: Any, need: Need | None) -> None:
    assert adapter(name, channel).needs(message(channel, part)) == need


def test_every_need_is_declared() -> None:
    for name in names():
        kind = find(name)
        assert all(quota.openings or quota.monthly is not None for quota in kind.quotas.values()), name


def test_what_a_wechat_service_account_may_answer_to() -> None:
    assert WeChatAdapter.quotas["customer_service"].openings == (
        Opening("wechat.messaged", 5, timedelta(hours=48)),
        Opening("wechat.menu_clicked", 3, timedelta(minutes=1)),
        Opening("wechat.followed", 3, timedelta(minutes=1)),
        Opening("wechat.scanned", 3, timedelta(minutes=1)),
    )


def test_text_messages_leave_by_day_and_an_outbox_at_any_hour() -> None:
    beijing = Hours("08:00", "22:00", "Asia/Shanghai")
    assert (AliyunSmsAdapter.hours, TencentSmsAdapter.hours) == (beijing, beijing)
    assert TwilioAdapter.hours == Hours("08:00", "22:00", "profile")
    assert OutboxAdapter.hours is None
