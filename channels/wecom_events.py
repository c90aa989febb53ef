"""What WeCom tells us of friends: events of customer contact as events of the catalogue.

The provider names sender and second as the key to de-duplicate by, and both are alike for all friends of one
second; who and what are part of it here.
"""

from __future__ import annotations

from datetime import timedelta

from channels.documents import Document, message_id, text
from channels.inbound import Inbound
from channels.wechat_callback import instant

WELCOME_SECONDS = 20
NAMES = {
    "add_external_contact": "wecom.friend_added",
    "add_half_external_contact": "wecom.friend_half_added",
    "edit_external_contact": "wecom.friend_edited",
    "del_external_contact": "wecom.friend_removed",
    "del_follow_user": "wecom.friend_deleted",
    "transfer_fail": "wecom.transfer_failed",
    "msg_audit_approved": "wecom.audit_approved",
}


def told(corp_id: str, document: Document) -> tuple[Inbound, ...]:
    """At most one event; none of documents that are about nobody outside."""
    customer, created = text(document, "ExternalUserID"), text(document, "CreateTime")
    event, change = text(document, "Event"), text(document, "ChangeType")
    name, at = NAMES.get(change), instant(created)
    if event != "change_external_contact" or name is None or not customer or at is None:
        return ()
    staff = text(document, "UserID")
    welcome_code = text(document, "WelcomeCode")
    properties = {
        "staff": staff,
        "state": text(document, "State"),
        "source": text(document, "Source"),
        "reason": text(document, "FailReason"),
        "welcome_code": welcome_code,
    }
    if welcome_code:
        properties["welcome_until"] = (at + timedelta(seconds=WELCOME_SECONDS)).isoformat()
    sender = text(document, "FromUserName")
    return (
        Inbound(
            name,
            at,
            message_id(corp_id, sender, created, event, change, staff, customer),
            (("wecom", customer),),
            {key: value for key, value in properties.items() if value},
        ),
    )
