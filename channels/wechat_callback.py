"""Calls of WeChat, mini-programs and WeCom: verified, decrypted, and as documents.

| | signature | what is read |
|---|---|---|
| URL check (GET) | `signature` over token, timestamp, nonce | answered with `echostr` |
| the same, WeCom | `msg_signature` over `echostr` too | answered with `echostr`, decrypted |
| plain call | `signature` over token, timestamp, nonce | the body |
| encrypted call | `msg_signature` over `Encrypt` too | `Encrypt`, decrypted |

Once a key is set nothing plain is let in: its signature does not cover the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from channels.documents import BODY_LIMIT, Document, items, parse, text
from channels.inbound import Call, Forged
from channels.receipt import DeliveryState, Reason, Receipt
from channels.wechat_crypto import check_signature, opener


class CallReader:
    """Reads the calls of one account. `receiver` is its app id or corp id."""

    def __init__(
        self,
        token: str,
        aes_key: str | None,
        receiver: str,
        *,
        oldest: timedelta,
        echo_encrypted: bool = False,
    ) -> None:
        self._token, self._oldest, self._echo_encrypted = token, oldest, echo_encrypted
        self._open: Callable[[str], bytes] | None = None if aes_key is None else opener(aes_key, receiver)

    def read(self, call: Call) -> Document | bytes:
        """The document of a call, or the bytes to answer a URL check with. Raises `Forged`."""
        query = call.query
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        if call.method == "GET":
            echo = query.get("echostr", "")
            if not self._echo_encrypted or self._open is None:
                check_signature(query.get("signature"), self._token, timestamp, nonce)
                return echo.encode()
            check_signature(query.get("msg_signature"), self._token, timestamp, nonce, echo)
            return self._open(echo)
        if len(call.body) > BODY_LIMIT:
            raise Forged("it is too long")
        if self._open is None:
            check_signature(query.get("signature"), self._token, timestamp, nonce)
            self._check_age(timestamp, call.at)
            return parse(call.body)
        sealed = parse(call.body).get("Encrypt")
        if not isinstance(sealed, str):
            raise Forged("it is not encrypted")
        check_signature(query.get("msg_signature"), self._token, timestamp, nonce, sealed)
        self._check_age(timestamp, call.at)
        return parse(self._open(sealed))

    def _check_age(self, timestamp: str, now: datetime) -> None:
        sent_at = instant(timestamp)
        if sent_at is None or abs(now - sent_at) > self._oldest:
            raise Forged("it is too old")


def instant(seconds: str) -> datetime | None:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def subscribe_receipts(document: Document, at: datetime) -> list[Receipt]:
    """What `subscribe_msg_sent_event` tells of subscribe messages that were accepted."""
    found = []
    inner = document.get("SubscribeMsgSentEvent", document)
    for each in items(inner.get("List") if isinstance(inner, Mapping) else None):
        sent, code = text(each, "MsgID"), text(each, "ErrorCode")
        if not sent:
            continue
        raw = f"{code} {text(each, 'ErrorStatus')}"
        if code == "0":
            found.append(Receipt(DeliveryState.DELIVERED, at, provider_id=sent, raw=raw))
        else:
            reason = Reason.WINDOW if code == "43101" else Reason.OTHER
            found.append(Receipt(DeliveryState.FAILED, at, provider_id=sent, reason=reason, raw=raw))
    return found


GRANTS = {
    ("subscribe_msg_popup_event", "accept"): "subscribed",
    ("subscribe_msg_popup_event", "reject"): "subscribe_refused",
    ("subscribe_msg_change_event", "reject"): "unsubscribed",
}
"""Event and answer → the last word of our event's name."""
_WRAPPED = {
    "subscribe_msg_popup_event": "SubscribeMsgPopupEvent",
    "subscribe_msg_change_event": "SubscribeMsgChangeEvent",
}


def grants(document: Document) -> list[tuple[str, dict[str, str]]]:
    """What somebody answered when asked for subscribe messages: last word of the name, properties."""
    event = text(document, "Event")
    inner = document.get(_WRAPPED.get(event, ""), document)
    found = []
    for each in items(inner.get("List") if isinstance(inner, Mapping) else None):
        name = GRANTS.get((event, text(each, "SubscribeStatusString")))
        if name is not None:
            properties = {"template_id": text(each, "TemplateId"), "scene": text(each, "PopupScene")}
            found.append((name, {key: value for key, value in properties.items() if value}))
    return found
