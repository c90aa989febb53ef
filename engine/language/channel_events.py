"""What people do at providers, as events: known without a word in the catalogue, each with its properties.

The adapters of `channels` name them, and tests hold what they tell against this list. A catalogue may declare
one of them too, to say more of it, such as another name or a property that an adapter of your own adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CHANNEL_EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "wechat.followed": ("scene",),
    "wechat.unfollowed": (),
    "wechat.scanned": ("scene",),
    "wechat.menu_clicked": ("key", "url"),
    "wechat.messaged": ("kind", "text"),
    "wechat.subscribed": ("template_id", "scene"),
    "wechat.subscribe_refused": ("template_id", "scene"),
    "wechat.unsubscribed": ("template_id", "scene"),
    "miniprogram.messaged": ("kind", "text"),
    "miniprogram.subscribed": ("template_id", "scene"),
    "miniprogram.subscribe_refused": ("template_id", "scene"),
    "miniprogram.unsubscribed": ("template_id", "scene"),
    "wecom.friend_added": ("staff", "state", "source", "welcome_code", "welcome_until"),
    "wecom.friend_half_added": ("staff", "state", "source", "welcome_code", "welcome_until"),
    "wecom.friend_edited": ("staff", "state", "source"),
    "wecom.friend_removed": ("staff", "state", "source"),
    "wecom.friend_deleted": ("staff", "state", "source"),
    "wecom.transfer_failed": ("staff", "reason"),
    "wecom.audit_approved": ("staff",),
    "alipay.followed": ("scene",),
    "alipay.unfollowed": (),
    "alipay.entered": ("scene",),
    "alipay.menu_clicked": ("key",),
    "alipay.messaged": ("kind", "text"),
    "sms.replied": ("text",),
    "email.replied": ("subject",),
}
"""Event to its properties, all of them text."""

HURRIED: Final = frozenset(
    {
        "wecom.friend_added",
        "wecom.friend_half_added",
        "wechat.followed",
        "wechat.scanned",
        "wechat.menu_clicked",
    }
)
"""After these a provider lets us write for seconds, or a minute."""

PERSONAL: Final = frozenset({"text", "subject"})
"""Properties that hold what somebody wrote."""

REPLIES: Final = frozenset(
    {"wechat.messaged", "miniprogram.messaged", "alipay.messaged", "sms.replied", "email.replied"}
)
"""Somebody wrote. Of the last message before it this is an answer."""
