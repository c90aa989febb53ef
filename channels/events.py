"""What people do at providers, as the adapters here name it: event to its properties.

`engine.language` knows the same names, so that journeys may use them undeclared; a test compares the two.
An adapter of your own may name others: declare them in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
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
REPLIES: Final = frozenset(
    {"wechat.messaged", "miniprogram.messaged", "alipay.messaged", "sms.replied", "email.replied"}
)
"""Somebody wrote. Of the last message before it this is an answer."""
