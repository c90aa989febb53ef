"""Identifiers of a profile, and which of them a channel writes to: one answer for every driver."""

from __future__ import annotations

from typing import Final

IDENTIFIERS: Final = ("external_id", "email", "phone", "wechat", "wecom", "alipay", "push")
ADDRESS_KINDS: Final = {"sms": "phone", "miniprogram": "wechat"}
"""Channel to identifier, where they differ in name. A mini-program writes to a WeChat open id."""


def address_kind(channel: str) -> str:
    """The identifier that is this channel's address."""
    return ADDRESS_KINDS.get(channel, channel)
