"""By which rules messages go out, from the installation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.content import Rules
from engine.language.installation import Installation

MAINLAND: Final = ("aliyun_sms", "tencent_sms")
"""Adapters of carriers that count as those of mainland China do."""


def rules_of(installation: Installation, channel: str, category: str = "marketing") -> list[Rules]:
    """The rules for a message of this category: those of each provider that serves the channel."""
    own = installation.channel(channel)
    routes = [(each.adapter, each.settings) for each in own.routes]
    return [_rules(installation, category, *each) for each in routes or [(own.adapter, own.settings)]]


def _rules(installation: Installation, category: str, adapter: str, settings: Mapping[str, object]) -> Rules:
    content = installation.content
    signature, approved = settings.get("sign_name"), settings.get("templates")
    return Rules(
        category,
        adapter,
        adapter in MAINLAND,
        f"【{signature}】" if isinstance(signature, str) else None,
        tuple(map(str, approved.values())) if isinstance(approved, dict) else (),
        content.most_segments,
        content.price,
        content.currency,
        content.html_kilobytes,
        installation.links.base_url is not None,
    )
