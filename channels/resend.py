"""`resend`: e-mail through Resend's HTTP API.

    POST /emails          with Idempotency-Key: KEY
    POST /emails/batch    up to a hundred, where the settings want it

A key is honoured for 24 hours, so an unknown send is repeated. A batch has one key for all its mails: it is
known again only if the very same mails come together, so an adapter with `batch` does not call itself
idempotent. Callbacks are signed as by Svix, which Standard Webhooks was made from.
(https://resend.com/docs/api-reference/emails/send-email, https://resend.com/docs/webhooks)
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from typing import Any

from pydantic import Field, SecretStr, field_validator
from standardwebhooks import Webhook

from channels.codes import DOWN, PERHAPS, Meaning, Trouble, later, meaning, refused, told, word
from channels.errors import Rejected, Unknown
from channels.http import Answer, HttpClient, Url
from channels.inbound import Call, Forged, Heard, Inbound
from channels.message import Attachment, Message
from channels.pacing import Outcome, alike_together, each
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.smtp import check_address
from channels.webhook import check_secret

MOST = 100
TOLERANCE = timedelta(minutes=5)
_LINE_BREAK = re.compile(r"[\r\n\x00]")
_PLAIN_NAME = re.compile(r"[^()<>\[\]:;@\\,.\"]*")

CODES: Mapping[str, Meaning] = {
    "missing_api_key": refused(Reason.CREDENTIALS),
    "invalid_api_key": refused(Reason.CREDENTIALS),
    "restricted_api_key": refused(Reason.CREDENTIALS),
    "suspended_api_key": refused(Reason.CREDENTIALS),
    "invalid_from_address": refused(Reason.CREDENTIALS),
    "invalid_access": refused(Reason.CREDENTIALS),
    "invalid_region": refused(Reason.CREDENTIALS),
    "not_found": refused(Reason.CREDENTIALS),
    "method_not_allowed": refused(Reason.OTHER),
    "invalid_idempotency_key": refused(Reason.CONTENT),
    "invalid_attachment": refused(Reason.CONTENT),
    "invalid_parameter": refused(Reason.CONTENT),
    "missing_required_field": refused(Reason.CONTENT),
    "validation_error": refused(Reason.CONTENT),
    "security_error": refused(Reason.BLOCKED),
    "invalid_to_address": refused(Reason.BLOCKED),
    "monthly_quota_exceeded": refused(Reason.QUOTA),
    "daily_quota_exceeded": refused(Reason.QUOTA),
    "rate_limit_exceeded": later(1),
    "concurrent_idempotent_requests": PERHAPS,
    "application_error": DOWN,
    "internal_server_error": DOWN,
}

_STATES: Mapping[str, DeliveryState] = {
    "email.delivered": DeliveryState.DELIVERED,
    "email.delivery_delayed": DeliveryState.DEFERRED,
    "email.bounced": DeliveryState.BOUNCED,
    "email.complained": DeliveryState.COMPLAINED,
    "email.opened": DeliveryState.OPENED,
    "email.clicked": DeliveryState.CLICKED,
    "email.failed": DeliveryState.FAILED,
    "email.suppressed": DeliveryState.FAILED,
}


class ResendSettings(Settings):
    """`channels.email.settings`."""

    api_key: SecretStr = Field(description="API key with sending access, `re_…`")
    sender: str = Field(alias="from", description="Sender, `hello@example.com` or `Shop <hello@example.com>`")
    reply_to: str | None = Field(default=None, description="Where answers go")
    webhook_secret: SecretStr | None = Field(
        default=None, description="Signing secret of the webhook, `whsec_…`, for receipts and replies"
    )
    batch: int = Field(
        default=1, ge=1, le=MOST, description="Mails in a call at most; above 1 a repeat may come twice"
    )
    endpoint: Url = Field(default="https://api.resend.com", description="Where the API lives")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=8, ge=1, le=500, description="Connections at most at once")

    @field_validator("sender", "reply_to")
    @classmethod
    def _mailbox(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                check_address(parseaddr(text)[1])
            except Rejected:
                raise ValueError("expected an e-mail address, such as hello@example.com") from None
        return text

    @field_validator("webhook_secret")
    @classmethod
    def _whsec(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            check_secret(secret.get_secret_value())
        return secret


class ResendAdapter(Adapter):
    """One call a mail with its own key, or a batch with one for all."""

    name = "resend"
    channels = frozenset({"email"})
    capabilities = Capabilities(
        remote=True,
        batch=True,
        idempotent=True,
        checks_address=True,
        throttles=True,
        receipts=True,
        inbound=True,
        one_click_unsubscribe=True,
    )
    Settings = ResendSettings
    settings: ResendSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._http = HttpClient(timeout=self.settings.timeout, connections=self.settings.connections)
        if self.settings.batch > 1:
            self.capabilities = replace(self.capabilities, idempotent=False)  # type: ignore[misc]

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        if self.settings.batch == 1 or all(message.attachments for message in messages):
            return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.connections)
        # Sent in a batch, a mail would lose what it carries (resend.com/docs/dashboard/emails/attachments).
        carrying = [message for message in messages if message.attachments]
        if carrying and len(carrying) < len(messages):
            others = [message for message in messages if not message.attachments]
            found = await asyncio.gather(self.send(carrying), self.send(others))
            outcomes = {
                message.key: outcome
                for sent, told in zip((carrying, others), found, strict=True)
                for message, outcome in zip(sent, told, strict=True)
            }
            return [outcomes[message.key] for message in messages]
        mails: dict[str, dict[str, Any]] = {}

        def written(message: Message) -> None:
            mails[message.key] = self._mail(message)

        return await alike_together(
            messages,
            written,
            lambda batch: self._batch(batch, [mails[message.key] for message in batch]),
            most=self.settings.batch,
            pacer=self.pacer,
            at_once=self.settings.connections,
        )

    async def _one(self, message: Message) -> Accepted:
        answer = await self._call("/emails", self._mail(message), message.key)
        document = answer.json()
        document = document if isinstance(document, dict) else {}
        if 200 <= answer.status < 300:
            if not isinstance(document.get("id"), str):
                raise Unknown(f"HTTP {answer.status} without an id", raw=answer.raw)
            return Accepted(document["id"], answer.raw)
        if document.get("name") == "invalid_idempotent_request":
            # The key was used for this delivery, whose content has changed since: the first one counts.
            return Accepted(None, answer.raw)
        raise _trouble(answer, document)

    async def _batch(
        self, messages: Sequence[Message], mails: Sequence[Mapping[str, Any]]
    ) -> Sequence[Outcome]:
        key = hashlib.sha256("\n".join(message.key for message in messages).encode()).hexdigest()
        answer = await self._call("/emails/batch", mails, key, permissive=True)
        document = answer.json()
        document = document if isinstance(document, dict) else {}
        if not 200 <= answer.status < 300:
            return [_trouble(answer, document)] * len(messages)
        refusals = {
            e["index"]: e for e in document.get("errors") or [] if isinstance(e, dict) and "index" in e
        }
        taken = [each for each in document.get("data") or [] if isinstance(each, dict) and each.get("id")]
        if len(taken) + len(refusals) != len(messages):
            return [Unknown(f"HTTP {answer.status} about other mails", raw=answer.raw)] * len(messages)
        ids = iter(taken)
        return [
            Rejected(Reason.CONTENT, "refused within a batch", raw=json.dumps(refusals[place]))
            if place in refusals
            else Accepted(next(ids)["id"])
            for place in range(len(messages))
        ]

    async def _call(self, path: str, document: Any, key: str, *, permissive: bool = False) -> Answer:
        headers = {
            "authorization": f"Bearer {self.settings.api_key.get_secret_value()}",
            "content-type": "application/json",
            "idempotency-key": key,
        }
        if permissive:
            headers["x-batch-validation"] = "permissive"
        return await self._http.exchange(
            "POST",
            self.settings.endpoint + path,
            headers=headers,
            content=json.dumps(document, ensure_ascii=False).encode(),
        )

    def _mail(self, message: Message) -> dict[str, Any]:
        """What to send; the same for every attempt."""
        recipient = check_address(message.address)
        subject = message.parts.get("subject", "").strip()
        text, html = message.parts.get("text"), message.parts.get("html")
        if not subject or text is None:
            raise Rejected(Reason.CONTENT, "an e-mail needs the parts subject and text")
        name, address = parseaddr(self.settings.sender)
        headers = dict(message.headers)
        if message.unsubscribe_url is not None:
            # RFC 8058 §3.1; Resend signs both by DKIM.
            headers["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        for each_header, value in (("subject", subject), *headers.items()):
            if _LINE_BREAK.search(each_header) or _LINE_BREAK.search(value):
                raise Rejected(Reason.CONTENT, "a line break in a header")
        mail: dict[str, Any] = {
            "from": _named(name or message.brand.name or "", address),
            "to": [recipient],
            "subject": subject,
            "text": text,
        }
        if html is not None:
            mail["html"] = html
        if message.attachments:
            mail["attachments"] = [_attachment(each) for each in message.attachments]
        if self.settings.reply_to is not None:
            mail["reply_to"] = self.settings.reply_to
        if headers:
            mail["headers"] = headers
        return mail

    async def hear(self, call: Call) -> Heard:
        """Receipts and replies. Needs `webhook_secret`."""
        self._verify(call)
        try:
            event = json.loads(call.body)
        except (ValueError, RecursionError):
            event = None
        data = event.get("data") if isinstance(event, dict) else None
        if not isinstance(event, dict) or not isinstance(data, dict):
            return Heard()  # signed, and nothing that we know
        kind, at = str(event.get("type")), _instant(event.get("created_at")) or call.at
        if kind == "email.received":
            reply = _reply(data, at, call.headers["svix-id"])
            return Heard(inbound=() if reply is None else (reply,))
        state = _STATES.get(kind)
        if state is None or not isinstance(data.get("email_id"), str):
            return Heard()
        return Heard(receipts=(_receipt(state, kind, data, at, call.body),))

    def _verify(self, call: Call) -> None:
        if self.settings.webhook_secret is None:
            raise Forged("nobody can tell without webhook_secret")
        try:
            event_id = call.headers["svix-id"]
            moment = datetime.fromtimestamp(int(call.headers["svix-timestamp"]), UTC)
            signer = Webhook(self.settings.webhook_secret.get_secret_value())
            good = signer.sign(event_id, moment, call.body.decode())
        except (KeyError, ValueError, OverflowError, OSError):
            raise Forged("no signature") from None
        given = call.headers.get("svix-signature", "").split(" ")
        if not any(hmac.compare_digest(good.encode(), each.encode()) for each in given):
            raise Forged("the signature does not match")
        if abs(call.at - moment) > TOLERANCE:
            raise Forged("too old")

    async def close(self) -> None:
        await self._http.close()


def _attachment(attached: Attachment) -> dict[str, str]:
    found = {
        "filename": attached.name,
        "content": base64.b64encode(attached.content).decode(),
        "content_type": attached.content_type,
    }
    if attached.content_id is not None:
        found["content_id"] = attached.content_id
    return found


def _named(name: str, address: str) -> str:
    if _LINE_BREAK.search(name):
        raise Rejected(Reason.CONTENT, "a line break in the sender's name")
    if not name:
        return address
    if not _PLAIN_NAME.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address}>"


def _trouble(answer: Answer, document: Mapping[str, Any]) -> Trouble:
    name = word(document.get("name"))
    if name == "validation_error" and answer.status in (401, 403):
        # By this name Resend also says that the key or the sender's domain is not good.
        return Rejected(Reason.CREDENTIALS, f"HTTP {answer.status} {name}", raw=answer.raw)
    if meaning(CODES, name) is None and answer.status == 409:
        return Unknown(f"HTTP {answer.status} {name}", raw=answer.raw)
    return told(CODES, answer, name) or Unknown(f"HTTP {answer.status}", raw=answer.raw)


def _receipt(state: DeliveryState, kind: str, data: Mapping[str, Any], at: datetime, body: bytes) -> Receipt:
    reason, permanent = None, False
    if state is DeliveryState.BOUNCED:
        reason, permanent = _bounce(data.get("bounce"))
    elif state is DeliveryState.FAILED:
        reason = Reason.BLOCKED if kind == "email.suppressed" else Reason.OTHER
    click = data.get("click")
    click = click if isinstance(click, dict) else {}
    return Receipt(
        state,
        _instant(click.get("timestamp")) or at,
        None,
        data["email_id"],
        reason,
        permanent,
        link=str(click["link"]) if "link" in click else None,
        raw=body.decode("utf-8", "replace"),
    )


def _bounce(how: object) -> tuple[Reason, bool]:
    """Why it came back, and whether the address is dead."""
    how = how if isinstance(how, dict) else {}
    if how.get("subType") == "MailboxFull":
        return Reason.MAILBOX_FULL, False
    dead = how.get("type") == "Permanent"
    return (Reason.ADDRESS_UNKNOWN if dead else Reason.BLOCKED), dead


def _instant(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _reply(data: Mapping[str, Any], at: datetime, event_id: str) -> Inbound | None:
    address = parseaddr(str(data.get("from", "")))[1]
    if not address:
        return None
    properties = {"subject": str(data.get("subject") or "")}
    return Inbound("email.replied", at, f"resend:{event_id}", (("email", address),), properties)
