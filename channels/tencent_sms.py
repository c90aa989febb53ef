"""`tencent_sms`: SMS through Tencent Cloud, API 2021-01-11 with TC3-HMAC-SHA256 signatures.

    POST /  {"PhoneNumberSet": ["+86…"], "TemplateId": "…", "TemplateParamSet": ["…"], …}

Messages of one text go out together, up to 200 numbers a call, the mainland apart from abroad; each number
has its own status and id in the answer. Nothing de-duplicates, and what was sent can be asked for only once
it has arrived: an unknown outcome stays unknown.
(https://cloud.tencent.com/document/api/382/55981, https://cloud.tencent.com/document/api/382/52072.)
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from channels.codes import DOWN, PERHAPS, Meaning, Trouble, later, meaning, refused, told, word
from channels.errors import Rejected, Throttled, Unknown
from channels.http import Answer, HttpClient, Url
from channels.inbound import Call, Forged, Heard, Inbound, Reply
from channels.message import Message
from channels.pacing import Outcome, alike_together
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.sms import (
    BEIJING,
    MAINLAND_HOURS,
    Templates,
    beijing,
    check_templates,
    e164,
    in_order,
    means_stop,
    number,
    words_of,
)

log = logging.getLogger("channels.tencent_sms")

VERSION = "2021-01-11"
MOST = 200
OPENS = 8
"""Marketing goes out from 08:00 to 22:00."""

CODES: Mapping[str, Meaning] = {
    "FailedOperation.PhoneNumberInBlacklist": refused(Reason.OPTED_OUT, opt_out=True),
    "FailedOperation.PhoneNumberParseFail": refused(Reason.ADDRESS_INVALID, permanent=True),
    "InvalidParameterValue.IncorrectPhoneNumber": refused(Reason.ADDRESS_INVALID, permanent=True),
    "FailedOperation.ContainSensitiveWord": refused(Reason.CONTENT),
    "InvalidParameter.DirtyWordFound": refused(Reason.CONTENT),
    "InvalidParameterValue.ContentLengthLimit": refused(Reason.TOO_LARGE),
    "InvalidParameterValue.TemplateParameterLengthLimit": refused(Reason.TOO_LARGE),
    "FailedOperation.InsufficientBalanceInSmsPackage": refused(Reason.QUOTA),
    "UnauthorizedOperation.ServiceSuspendDueToArrears": refused(Reason.QUOTA),
    "FailedOperation.SignatureIncorrectOrUnapproved": refused(Reason.CREDENTIALS),
    "FailedOperation.MissingSignature": refused(Reason.CREDENTIALS),
    "FailedOperation.TemplateIncorrectOrUnapproved": refused(Reason.CREDENTIALS),
    "FailedOperation.TemplateUnapprovedOrNotExist": refused(Reason.CREDENTIALS),
    "FailedOperation.TemplateIdNotExist": refused(Reason.CREDENTIALS),
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": refused(Reason.CREDENTIALS),
    "InvalidParameterValue.MarketingTemplateWithoutUnsubscribe": refused(Reason.CREDENTIALS),
    "InvalidParameterValue.SdkAppIdNotExist": refused(Reason.CREDENTIALS),
    "InvalidParameter.AppidAndBizId": refused(Reason.CREDENTIALS),
    "InternalError.RequestTimeException": refused(Reason.CREDENTIALS),
    "InternalError.SigFieldMissing": refused(Reason.CREDENTIALS),
    "InternalError.SigVerificationFail": refused(Reason.CREDENTIALS),
    "InternalError.JsonParseFail": refused(Reason.CONTENT),
    "UnauthorizedOperation": refused(Reason.CREDENTIALS),
    "AuthFailure": refused(Reason.CREDENTIALS),
    "UnsupportedOperation": refused(Reason.OTHER),
    "FailedOperation": refused(Reason.OTHER),
    "InvalidParameterValue": refused(Reason.CONTENT),
    "InvalidParameter": refused(Reason.CONTENT),
    "MissingParameter": refused(Reason.CONTENT),
    "LimitExceeded.PhoneNumberThirtySecondLimit": later(30),
    "LimitExceeded.PhoneNumberOneHourLimit": later(3600),
    "LimitExceeded.DeliveryFrequencyLimit": later(60),
    "LimitExceeded": refused(Reason.QUOTA),
    "RequestLimitExceeded": later(1),
    "ResourceUnavailable": DOWN,
    "ResourceInsufficient": DOWN,
    "InternalError": PERHAPS,
}


class TencentSmsSettings(Settings):
    """`channels.sms.settings`."""

    secret_id: str = Field(min_length=1, description="Id of an API key that may send SMS")
    secret_key: SecretStr = Field(description="Its secret")
    sdk_app_id: str = Field(min_length=1, description="SdkAppId of the SMS application, such as 1400006666")
    sign_name: str = Field(min_length=2, description="The approved signature, without its brackets 【】")
    templates: Mapping[str, str] = Field(
        min_length=1, description="Approved templates: the id, and the text with its `{1}`, `{2}`, …"
    )
    sender_id: str | None = Field(default=None, description="Sender id for messages abroad")
    region: str = Field(default="ap-guangzhou", description="Region of the API")
    endpoint: Url = Field(default="https://sms.tencentcloudapi.com", description="Where the API lives")
    batch: int = Field(default=MOST, ge=1, le=MOST, description="Numbers of one text in a call at most")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")

    @field_validator("templates")
    @classmethod
    def _approved(cls, templates: Mapping[str, str]) -> Mapping[str, str]:
        return check_templates(templates, numbered=True)


def sign(secret_id: str, secret: str, host: str, timestamp: int, body: bytes) -> str:
    """`Authorization` of a POST of `application/json` to `/`."""
    canonical = (
        f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n"
        + hashlib.sha256(body).hexdigest()
    )
    scope = f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d}/sms/tc3_request"
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"TC3{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={secret_id}/{scope}"
    return f"TC3-HMAC-SHA256 {credential}, SignedHeaders=content-type;host, Signature={signature}"


class TencentSmsAdapter(Adapter):
    """Equal texts go out together."""

    name = "tencent_sms"
    channels = frozenset({"sms"})
    capabilities = Capabilities(
        remote=True, batch=True, checks_address=True, throttles=True, receipts=True, inbound=True
    )
    Settings = TencentSmsSettings
    hours = MAINLAND_HOURS
    settings: TencentSmsSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._http = HttpClient(timeout=self.settings.timeout, connections=self.settings.connections)
        self._templates = Templates(self.settings.templates, self.settings.sign_name)

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await alike_together(
            messages,
            lambda message: (number(message.address).startswith("+86"), *self._filled(message)),
            self._batch,
            most=self.settings.batch,
            addresses_once=True,  # the status of a number is found by it
            pacer=self.pacer,
            at_once=self.settings.connections,
        )

    def _filled(self, message: Message) -> tuple[str, tuple[str, ...]]:
        template, values = self._templates.fit(words_of(message))
        return template, tuple(in_order(values))

    async def _batch(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        settings = self.settings
        template, values = self._filled(messages[0])
        document: dict[str, Any] = {
            "PhoneNumberSet": [message.address for message in messages],
            "SmsSdkAppId": settings.sdk_app_id,
            "SignName": settings.sign_name,
            "TemplateId": template,
            "TemplateParamSet": values,
        }
        if settings.sender_id is not None and not messages[0].address.startswith("+86"):
            document["SenderId"] = settings.sender_id
        if len(messages) == 1:
            document["SessionContext"] = messages[0].key
        answer = await self._call("SendSms", document)
        return _outcomes(answer, messages)

    async def _call(self, action: str, document: Mapping[str, Any]) -> Answer:
        settings, now = self.settings, int(time.time())
        host = urlsplit(settings.endpoint).netloc
        body = json.dumps(document, ensure_ascii=False).encode()
        return await self._http.exchange(
            "POST",
            f"{settings.endpoint}/",
            headers={
                "authorization": sign(
                    settings.secret_id, settings.secret_key.get_secret_value(), host, now, body
                ),
                "content-type": "application/json",
                "host": host,
                "x-tc-action": action,
                "x-tc-version": VERSION,
                "x-tc-region": settings.region,
                "x-tc-timestamp": str(now),
            },
            content=body,
        )

    async def hear(self, call: Call) -> Heard:
        """Receipts come as a list, a reply as an object.

        Tencent signs neither: the secret in the address is what vouches for them.
        """
        try:
            document = json.loads(call.body)
        except (ValueError, RecursionError):
            raise Forged("no JSON") from None
        items = document if isinstance(document, list) else [document]
        if not all(isinstance(item, dict) for item in items):
            raise Forged("no objects")
        heard = [_reply(item) if "text" in item else _receipt(item) for item in items]
        if (lost := heard.count(None)) > 0:
            log.warning("%s of %s things that were told cannot be read", lost, len(heard))
        return Heard(
            Reply(body=b'{"result":0,"errmsg":"OK"}', media_type="application/json"),
            tuple(each for each in heard if isinstance(each, Receipt)),
            tuple(each for each in heard if isinstance(each, Inbound)),
        )

    async def close(self) -> None:
        await self._http.close()


def _outcomes(answer: Answer, messages: Sequence[Message]) -> Sequence[Outcome]:
    document = answer.json()
    response = document.get("Response") if isinstance(document, dict) else None
    response = response if isinstance(response, dict) else {}
    error = response.get("Error")
    if isinstance(error, dict):
        return [_outcome(answer, error.get("Code"))] * len(messages)
    statuses = response.get("SendStatusSet")
    if not isinstance(statuses, list):
        silent = told({}, answer, None) or Unknown(f"HTTP {answer.status} without a status", answer.raw)
        return [silent] * len(messages)
    by_number = {status.get("PhoneNumber"): status for status in statuses if isinstance(status, dict)}
    return [_status(answer, by_number.get(message.address)) for message in messages]


def _status(answer: Answer, status: Mapping[str, Any] | None) -> Outcome:
    if status is None:
        return Unknown("the answer does not name this number", answer.raw)
    raw = json.dumps(status, ensure_ascii=False)
    if status.get("Code") == "Ok":
        return Accepted(str(status.get("SerialNo") or "") or None, raw)
    return _outcome(Answer(answer.status, answer.headers, raw.encode()), status.get("Code"))


def _outcome(answer: Answer, code: object) -> Trouble:
    named = word(code)
    if named == "FailedOperation.MarketingSendTimeConstraint":
        return Throttled(_until_morning(), f"HTTP {answer.status} {named}", answer.raw)
    found = meaning(CODES, named)
    if found is None:
        return told({}, answer, None) or Rejected(
            Reason.OTHER, f"HTTP {answer.status} {named}", raw=answer.raw
        )
    return found.outcome(f"HTTP {answer.status} {named}", answer.raw)


def _until_morning() -> timedelta:
    now = datetime.now(BEIJING)
    opens = now.replace(hour=OPENS, minute=0, second=0, microsecond=0)
    return (opens if opens > now else opens + timedelta(days=1)) - now


def _receipt(item: Mapping[str, Any]) -> Receipt | None:
    at, sid = beijing(item.get("user_receive_time")), str(item.get("sid") or "")
    if at is None or not sid:
        return None
    raw = json.dumps(item, ensure_ascii=False)
    if item.get("report_status") == "SUCCESS":
        return Receipt(DeliveryState.DELIVERED, at, provider_id=sid, raw=raw)
    if "空号" in str(item.get("description")):
        return Receipt(DeliveryState.BOUNCED, at, provider_id=sid, reason=Reason.ADDRESS_UNKNOWN, raw=raw)
    reason = Reason.BLOCKED if "BLACK" in str(item.get("errmsg")).upper() else Reason.OTHER
    return Receipt(DeliveryState.FAILED, at, provider_id=sid, reason=reason, raw=raw)


def _reply(item: Mapping[str, Any]) -> Inbound | None:
    country, text = str(item.get("nationcode") or "86"), str(item["text"])
    phone = e164(str(item.get("mobile", "")), country)
    try:
        at = datetime.fromtimestamp(int(item.get("time", "")), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    if phone is None:
        return None
    # Replies have no id of their own.
    same = hashlib.sha256(f"{phone}\n{item['time']}\n{text}".encode()).hexdigest()[:32]
    return Inbound(
        "sms.replied",
        at,
        f"tencent_sms:{same}",
        (("phone", phone),),
        {"text": text},
        opt_out=means_stop(text),
    )
