"""Identifiers of a profile, and which of them a channel writes to: one answer for every driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

IDENTIFIERS: Final = (
    "external_id",
    "email",
    "phone",
    "wechat",
    "wecom",
    "alipay",
    "push",
    "member_number",
    "wechat_unionid",
    "alipay_open_id",
    "taobao_nick",
    "jd_pin",
    "device_id",
)
KINDS: Final = (*IDENTIFIERS, "anonymous_id")
"""Kinds of identity that Kairos knows by itself. Others are legal: they are kept as they come."""
ADDRESS_KINDS: Final = {"sms": "phone", "miniprogram": "wechat"}
"""Channel to identifier, where they differ in name. A mini-program writes to a WeChat open id."""

MERGE_BY: Final = ("external_id", "member_number", "wechat_unionid", "phone")
"""Strong without a word in `kairos.yaml`: two profiles that share one are the same person."""
SEVERAL: Final = frozenset(
    {"phone", "email", "device_id", "push", "anonymous_id", "wechat", "alipay_open_id"}
)
"""Of these a person may have several; of any other strong kind exactly one."""


def own_address(channel: str, attributes: Mapping[str, object]) -> str | None:
    """The address on a channel that Kairos does not know by itself: the attribute that is called like it."""
    if channel in IDENTIFIERS or channel in ADDRESS_KINDS or channel == "webhook":
        return None
    found = attributes.get(channel)
    return found if isinstance(found, str) and found else None


def address_kind(channel: str) -> str:
    """The identifier that is this channel's address."""
    return ADDRESS_KINDS.get(channel, channel)
