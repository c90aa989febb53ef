"""`twilio`: SMS as free text through Twilio's Messages API (2010-04-01).

    POST /2010-04-01/Accounts/AC…/Messages.json    To, From or MessagingServiceSid, Body, StatusCallback

Twilio has no de-duplication here. With `callback_url`, each message names an address of its own for receipts,
so that one is understood even if the answer to the send was lost. What Twilio calls is signed by
`X-Twilio-Signature` (https://www.twilio.com/docs/usage/security#validating-requests).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from channels.codes import DOWN, Meaning, later, refused, told, word
from channels.errors import Rejected, Unknown
from channels.http import HttpClient, Url
from channels.inbound import Call, Forged, Heard, Inbound, Reply
from channels.limits import Hours
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.sms import STOP_WORDS, e164, means_stop, number, words_of

LONGEST = 1600
MOST_FIELDS = 1000
"""More than Twilio ever sends; what is longer is not taken apart before it is verified."""
THEIR_STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})

CODES: Mapping[str, Meaning] = {
    "20003": refused(Reason.CREDENTIALS),
    "20404": refused(Reason.CREDENTIALS),
    "20429": later(1),
    "20500": DOWN,
    "20503": DOWN,
    "21211": refused(Reason.ADDRESS_INVALID, permanent=True),
    "21408": refused(Reason.BLOCKED),
    "21602": refused(Reason.CONTENT),
    "21603": refused(Reason.CREDENTIALS),
    "21606": refused(Reason.CREDENTIALS),
    "21608": refused(Reason.CREDENTIALS),
    "21610": refused(Reason.OPTED_OUT, opt_out=True),
    "21611": later(60),
    "21612": refused(Reason.BLOCKED),
    "21614": refused(Reason.ADDRESS_INVALID, permanent=True),
    "21617": refused(Reason.TOO_LARGE),
    "30001": later(60),
    "30034": refused(Reason.CREDENTIALS),
    "63038": refused(Reason.QUOTA),
}

# `ErrorCode` of a receipt: why, and whether the number is dead for later messages too.
_FAILED: Mapping[str, tuple[Reason, bool]] = {
    "21610": (Reason.OPTED_OUT, False),
    "30004": (Reason.BLOCKED, False),
    "30005": (Reason.ADDRESS_UNKNOWN, True),
    "30006": (Reason.ADDRESS_INVALID, True),
    "30007": (Reason.CONTENT, False),
}


class TwilioSettings(Settings):
    """`channels.sms.settings`."""

    account_sid: str = Field(pattern=r"^AC[0-9a-f]{32}$", description="Account SID, `AC…`")
    auth_token: SecretStr = Field(description="Its auth token; verifies callbacks too")
    sender: str | None = Field(default=None, alias="from", description="Number or sender id to send from")
    messaging_service: str | None = Field(
        default=None, description="SID of a messaging service, `MG…`, instead of `from`"
    )
    callback_url: SecretStr | None = Field(
        default=None, description="Public address of this adapter's callbacks, for receipts and replies"
    )
    endpoint: Url = Field(default="https://api.twilio.com", description="Where the API lives")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")

    @field_validator("callback_url")
    @classmethod
    def _plain(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parts = urlsplit(url.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
                raise ValueError("expected an https address without a query")
        return url

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if (self.sender is None) == (self.messaging_service is None):
            raise ValueError("expected either `from` or `messaging_service`")
        return self


def signature(token: str, url: str, form: Sequence[tuple[str, str]]) -> str:
    """`X-Twilio-Signature` of a POST to this address: the address and all fields, sorted, a value once."""
    text = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


class TwilioAdapter(Adapter):
    """One call a message."""

    name = "twilio"
    channels = frozenset({"sms"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True, receipts=True, inbound=True)
    Settings = TwilioSettings
    hours = Hours("08:00", "22:00")
    settings: TwilioSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._http = HttpClient(timeout=self.settings.timeout, connections=self.settings.connections)
        login = f"{self.settings.account_sid}:{self.settings.auth_token.get_secret_value()}"
        self._authorization = f"Basic {base64.b64encode(login.encode()).decode()}"

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.connections)

    async def _one(self, message: Message) -> Accepted:
        settings, text = self.settings, words_of(message)
        if len(text) > LONGEST:
            raise Rejected(Reason.TOO_LARGE, f"over {LONGEST} characters")
        form = {"To": number(message.address), "Body": text}
        if settings.messaging_service is not None:
            form["MessagingServiceSid"] = settings.messaging_service
        elif settings.sender is not None:
            form["From"] = settings.sender
        if settings.callback_url is not None:
            form["StatusCallback"] = f"{settings.callback_url.get_secret_value()}?{_query(message.key)}"
        answer = await self._http.exchange(
            "POST",
            f"{settings.endpoint}/2010-04-01/Accounts/{settings.account_sid}/Messages.json",
            headers={
                "authorization": self._authorization,
                "content-type": "application/x-www-form-urlencoded",
            },
            content=urlencode(form).encode(),
        )
        document = answer.json()
        document = document if isinstance(document, dict) else {}
        if 200 <= answer.status < 300:
            sid = document.get("sid")
            if not isinstance(sid, str):
                raise Unknown(f"HTTP {answer.status} without a sid", raw=answer.raw)
            return Accepted(sid, answer.raw)
        raise told(CODES, answer, document.get("code")) or Rejected(Reason.OTHER, raw=answer.raw)

    async def hear(self, call: Call) -> Heard:
        """Receipts and what people wrote back. Needs `callback_url`, since the signature covers it."""
        try:
            form = parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            raise Forged("no form") from None
        self._verify(call, form)
        fields = dict(form)
        nothing_to_say = Reply(body=b"<Response></Response>", media_type="text/xml")
        if "MessageStatus" in fields and "Body" not in fields:
            receipt = _receipt(fields, call)
            return Heard(nothing_to_say, receipts=() if receipt is None else (receipt,))
        reply = _reply(fields, call)
        return Heard(nothing_to_say, inbound=() if reply is None else (reply,))

    def _verify(self, call: Call, form: Sequence[tuple[str, str]]) -> None:
        given = call.headers.get("x-twilio-signature", "")
        if self.settings.callback_url is None:
            raise Forged("nobody can tell without callback_url")
        url = self.settings.callback_url.get_secret_value()
        key = call.query.get("key")
        query = "" if key is None else f"?{_query(key)}"
        token = self.settings.auth_token.get_secret_value()
        good = [signature(token, each + query, form) for each in _spellings(url)]
        if not any(hmac.compare_digest(given.encode(), each.encode()) for each in good):
            raise Forged("the signature does not match")

    async def close(self) -> None:
        await self._http.close()


def _query(key: str) -> str:
    return f"key={quote(key, safe='')}"


def _spellings(url: str) -> tuple[str, str]:
    """With the port and without: Twilio signs either."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        bare, port = host, "443" if parts.scheme == "https" else "80"
    return urlunsplit(parts._replace(netloc=bare)), urlunsplit(parts._replace(netloc=f"{bare}:{port}"))


def _receipt(fields: Mapping[str, str], call: Call) -> Receipt | None:
    key, sid = call.query.get("key"), fields.get("MessageSid") or None
    state = {
        "delivered": DeliveryState.DELIVERED,
        "read": DeliveryState.OPENED,
        "undelivered": DeliveryState.FAILED,
        "failed": DeliveryState.FAILED,
    }.get(fields["MessageStatus"])
    if state is None or (key is None and sid is None):
        return None  # on its way: nothing that was not known
    raw = json.dumps(fields, ensure_ascii=False)
    if state is not DeliveryState.FAILED:
        return Receipt(state, call.at, key, sid, raw=raw)
    reason, permanent = _FAILED.get(word(fields.get("ErrorCode")), (Reason.OTHER, False))
    if reason in (Reason.ADDRESS_UNKNOWN, Reason.ADDRESS_INVALID):
        state = DeliveryState.BOUNCED
    return Receipt(state, call.at, key, sid, reason, permanent, raw=raw)


def _reply(fields: Mapping[str, str], call: Call) -> Inbound | None:
    phone, sid, text = e164(fields.get("From", "")), fields.get("MessageSid"), fields.get("Body", "")
    if phone is None or not sid:
        return None
    theirs = fields.get("OptOutType")
    opt_out = theirs == "STOP" if theirs else means_stop(text, STOP_WORDS | THEIR_STOP_WORDS)
    return Inbound(
        "sms.replied", call.at, f"twilio:{sid}", (("phone", phone),), {"text": text}, opt_out=opt_out
    )
