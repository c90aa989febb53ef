"""By which rules messages go out, from the installation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from engine.content import Rules
from engine.language.installation import Installation

MAINLAND: Final = ("aliyun_sms", "tencent_sms")
"""Adapters of carriers that count as those of mainland China do."""


def rules_of(installation: Installation, channel: str, category: str = "marketing") -> Rules:
    """The rules for a message of this category; of several providers those of a mainland one, if any."""
    found, content = installation.channel(channel), installation.content
    if found.routes:
        first = min(found.routes, key=lambda route: route.adapter not in MAINLAND)
        found = replace(found, adapter=first.adapter, settings=first.settings)
    signature, approved = found.settings.get("sign_name"), found.settings.get("templates")
    return Rules(
        category,
        found.adapter,
        found.adapter in MAINLAND,
        f"【{signature}】" if isinstance(signature, str) else None,
        tuple(map(str, approved.values())) if isinstance(approved, dict) else (),
        content.most_segments,
        content.price,
        content.currency,
        content.html_kilobytes,
        installation.links.base_url is not None,
    )


def rules_by_channel(installation: Installation, channels: Iterable[str]) -> dict[str, Rules]:
    return {channel: rules_of(installation, channel) for channel in channels}
