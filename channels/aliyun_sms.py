"""`aliyun_sms`: SMS through Alibaba Cloud, API 2017-05-25 with ACS3-HMAC-SHA256 signatures.

    POST /?PhoneNumbers=…&SignName=…&TemplateCode=…&TemplateParam={…}&OutId=KEY        with an empty body

One number a call, though `SendBatchSms` takes a hundred: it has one `BizId` and one `OutId` for all of them,
and one bad number refuses the rest. Alone, `OutId` is our key: receipts come back by it, and after an unknown
outcome `QuerySendDetails` finds it.
(https://help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature,
https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms.)
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator
from yarl import URL

from channels.codes import DOWN, Meaning, Trouble, later, refused, told, word
from channels.errors import Rejected, Unknown
from channels.http import Answer, HttpClient, Url
from channels.inbound import Call, Forged, Heard, Inbound, Reply
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.sms import (
    BEIJING,
    MAINLAND_HOURS,
    Templates,
    beijing,
    check_templates,
    e164,
    means_stop,
    number,
    words_of,
)

log = logging.getLogger("channels.aliyun_sms")

VERSION = "2017-05-25"
PAGE = 50

CODES: Mapping[str, Meaning] = {
    "isv.MOBILE_NUMBER_ILLEGAL": refused(Reason.ADDRESS_INVALID, permanent=True),
    "isv.MOBILE_COUNT_OVER_LIMIT": refused(Reason.CONTENT),
    "isv.INVALID_PARAMETERS": refused(Reason.CONTENT),
    "isv.INVALID_JSON_PARAM": refused(Reason.CONTENT),
    "isv.TEMPLATE_MISSING_PARAMETERS": refused(Reason.CONTENT),
    "isv.TEMPLATE_PARAMS_ILLEGAL": refused(Reason.CONTENT),
    "isv.PARAM_LENGTH_LIMIT": refused(Reason.TOO_LARGE),
    "isv.PARAM_NOT_SUPPORT_URL": refused(Reason.CONTENT),
    "isv.BLACK_KEY_CONTROL_LIMIT": refused(Reason.CONTENT),
    "isv.SMS_CONTENT_ILLEGAL": refused(Reason.CONTENT),
    "isv.SMS_SIGNATURE_ILLEGAL": refused(Reason.CREDENTIALS),
    "isv.SMS_SIGN_ILLEGAL": refused(Reason.CREDENTIALS),
    "isv.SIGN_NAME_ILLEGAL": refused(Reason.CREDENTIALS),
    "isv.SMS_TEMPLATE_ILLEGAL": refused(Reason.CREDENTIALS),
    "isv.OUT_OF_SERVICE": refused(Reason.CREDENTIALS),
    "isv.PRODUCT_UN_SUBSCRIPT": refused(Reason.CREDENTIALS),
    "isv.PRODUCT_UNSUBSCRIBE": refused(Reason.CREDENTIALS),
    "isv.ACCOUNT_NOT_EXISTS": refused(Reason.CREDENTIALS),
    "isv.ACCOUNT_ABNORMAL": refused(Reason.CREDENTIALS),
    "isp.RAM_PERMISSION_DENY": refused(Reason.CREDENTIALS),
    "SignatureDoesNotMatch": refused(Reason.CREDENTIALS),
    "IncompleteSignature": refused(Reason.CREDENTIALS),
    "InvalidAccessKeyId": refused(Reason.CREDENTIALS),
    "InvalidTimeStamp": refused(Reason.CREDENTIALS),
    "Forbidden": refused(Reason.CREDENTIALS),
    "isv.AMOUNT_NOT_ENOUGH": refused(Reason.QUOTA),
    "isv.DAY_LIMIT_CONTROL": refused(Reason.QUOTA),
    "isv.MONTH_LIMIT_CONTROL": refused(Reason.QUOTA),
    "isv.BUSINESS_LIMIT_CONTROL": later(60),
    "Throttling": later(1),
    "isp.SYSTEM_ERROR": DOWN,
    "ServiceUnavailable": DOWN,
    "InternalError": DOWN,
}

# The words of a limit for one number: its clock-aligned window, and what follows from its length.
_WINDOWS: tuple[tuple[str, Meaning], ...] = (
    ("天级", refused(Reason.QUOTA)),
    ("小时级", later(3600)),
    ("分钟级", later(60)),
)

# `err_code` of a receipt that tells of a failure.
_FAILED: Mapping[str, Reason] = {
    "MOBILE_NOT_ON_SERVICE": Reason.ADDRESS_UNKNOWN,
    "MOBILE_NUMBER_ILLEGAL": Reason.ADDRESS_INVALID,
    "MOBILE_SEND_LIMIT": Reason.QUOTA,
    "CONTENT_KEYWORD": Reason.CONTENT,
    "SIGNATURE_BLACKLIST": Reason.CREDENTIALS,
    "NUMBER_BLACKLIST": Reason.BLOCKED,
    "MOBILE_IN_BLACKLIST": Reason.BLOCKED,
    "BLACKLIST": Reason.BLOCKED,
}


class AliyunSmsSettings(Settings):
    """`channels.sms.settings`."""

    access_key_id: str = Field(min_length=1, description="Access key of a RAM user that may send SMS")
    access_key_secret: SecretStr = Field(description="Its secret")
    sign_name: str = Field(min_length=2, description="The approved signature, without its brackets 【】")
    templates: Mapping[str, str] = Field(
        min_length=1,
        description="Approved templates: the code, and the text with `{name}` where Aliyun has `${name}`",
    )
    endpoint: Url = Field(default="https://dysmsapi.aliyuncs.com", description="Where the API lives")
    timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")

    @field_validator("templates")
    @classmethod
    def _approved(cls, templates: Mapping[str, str]) -> Mapping[str, str]:
        return check_templates(templates)


def sign(key_id: str, secret: str, query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """Query string and `Authorization` of a POST to `/` with an empty body.

    `headers` are those to sign, in lower case: `host` and all that begin with `x-acs-`.
    """
    pairs = [f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query)]
    names = sorted(headers)
    canonical = "\n".join(
        [
            "POST",
            "/",
            "&".join(pairs),
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            headers["x-acs-content-sha256"],
        ]
    )
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    return "&".join(pairs), f"ACS3-HMAC-SHA256 {credential}"


class AliyunSmsAdapter(Adapter):
    """One call a message; can be asked what became of it."""

    name = "aliyun_sms"
    channels = frozenset({"sms"})
    capabilities = Capabilities(
        remote=True, can_query=True, checks_address=True, throttles=True, receipts=True, inbound=True
    )
    Settings = AliyunSmsSettings
    hours = MAINLAND_HOURS
    settings: AliyunSmsSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._http = HttpClient(timeout=self.settings.timeout, connections=self.settings.connections)
        self._templates = Templates(self.settings.templates, self.settings.sign_name)

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.connections)

    async def _one(self, message: Message) -> Accepted:
        code, values = self._templates.fit(words_of(message))
        query = {
            "PhoneNumbers": _local(number(message.address)),
            "SignName": self.settings.sign_name,
            "TemplateCode": code,
            "OutId": message.key,
        }
        if values:
            query["TemplateParam"] = json.dumps(values, ensure_ascii=False)
        answer = await self._call("SendSms", query)
        document = _document(answer)
        if document.get("Code") == "OK":
            biz_id = document.get("BizId")
            return Accepted(biz_id if isinstance(biz_id, str) else None, answer.raw)
        raise _trouble(answer, document)

    async def query(self, messages: Sequence[Message]) -> Sequence[Outcome | None]:
        """Looks among the sends of yesterday and today to each number for the one with our key."""

        async def one(message: Message) -> Accepted:
            for day in (datetime.now(BEIJING) - timedelta(days=back) for back in (0, 1)):
                found = await self._look(message, f"{day:%Y%m%d}")
                if found is not None:
                    return found
            raise Unknown("not among the sends to this number")

        outcomes = await each(messages, one, at_once=self.settings.connections)
        return [outcome if isinstance(outcome, Accepted) else None for outcome in outcomes]

    async def _look(self, message: Message, day: str) -> Accepted | None:
        page, more = 1, True
        while more:
            query = {
                "PhoneNumber": _local(number(message.address)),
                "SendDate": day,
                "PageSize": str(PAGE),
                "CurrentPage": str(page),
            }
            answer = await self._call("QuerySendDetails", query)
            document = _document(answer)
            if document.get("Code") != "OK":
                raise _trouble(answer, document)
            listed = document.get("SmsSendDetailDTOs")
            sends = listed.get("SmsSendDetailDTO") if isinstance(listed, dict) else None
            for send in sends if isinstance(sends, list) else []:
                if isinstance(send, dict) and send.get("OutId") == message.key:
                    return Accepted(raw=answer.raw)
            more = isinstance(sends, list) and len(sends) == PAGE
            page += 1
        return None

    async def _call(self, action: str, query: Mapping[str, str]) -> Answer:
        endpoint = self.settings.endpoint
        headers = {
            "host": urlsplit(endpoint).netloc,
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        secret = self.settings.access_key_secret.get_secret_value()
        text, authorization = sign(self.settings.access_key_id, secret, query, headers)
        return await self._http.exchange(
            "POST",
            URL(f"{endpoint}/?{text}", encoded=True),  # as it was signed
            headers={**headers, "authorization": authorization, "accept": "application/json"},
            content=b"",
        )

    async def hear(self, call: Call) -> Heard:
        """Receipts (`SmsReport`) and what people wrote back (`SmsUp`), told apart by their fields.

        Aliyun signs neither: the secret in the address is what vouches for them.
        """
        try:
            told_of = json.loads(call.body)
        except (ValueError, RecursionError):
            raise Forged("no JSON") from None
        if not isinstance(told_of, list) or not all(isinstance(item, dict) for item in told_of):
            raise Forged("no list of objects")
        heard = [_heard(item) for item in told_of]
        if (lost := heard.count(None)) > 0:
            log.warning("%s of %s things that were told cannot be read", lost, len(heard))
        return Heard(
            Reply(body=b'{"code":0,"msg":"OK"}', media_type="application/json"),
            tuple(each for each in heard if isinstance(each, Receipt)),
            tuple(each for each in heard if isinstance(each, Inbound)),
        )

    async def close(self) -> None:
        await self._http.close()


def _local(address: str) -> str:
    """Mainland numbers without their country code, others with it; never with a plus."""
    return address.removeprefix("+86") if address.startswith("+86") else address.removeprefix("+")


def _document(answer: Answer) -> dict[str, Any]:
    document = answer.json()
    return document if isinstance(document, dict) else {}


def _trouble(answer: Answer, document: Mapping[str, Any]) -> Trouble:
    code = word(document.get("Code"))
    if code == "isv.BUSINESS_LIMIT_CONTROL":
        said = str(document.get("Message", ""))
        for words, meaning in _WINDOWS:
            if words in said:
                return meaning.outcome(f"HTTP {answer.status} {code}", answer.raw)
    trouble = told(CODES, answer, code)
    if trouble is not None:
        return trouble
    if not code:
        return Unknown(f"HTTP {answer.status} without a code", raw=answer.raw)
    return Rejected(Reason.OTHER, f"HTTP {answer.status} {code}", raw=answer.raw)


def _heard(item: Mapping[str, Any]) -> Receipt | Inbound | None:
    if "content" in item:
        return _reply(item)
    at = beijing(item.get("report_time")) or beijing(item.get("send_time"))
    key, biz_id = str(item.get("out_id") or "") or None, str(item.get("biz_id") or "") or None
    if at is None or (key is None and biz_id is None):
        return None
    raw = json.dumps(item, ensure_ascii=False)
    if item.get("success") in (True, "true"):
        return Receipt(DeliveryState.DELIVERED, at, key, biz_id, raw=raw)
    reason = _FAILED.get(word(item.get("err_code")), Reason.OTHER)
    nobody = reason in (Reason.ADDRESS_UNKNOWN, Reason.ADDRESS_INVALID)
    state = DeliveryState.BOUNCED if nobody else DeliveryState.FAILED
    # Not permanent: the same code tells of numbers that are only suspended.
    return Receipt(state, at, key, biz_id, reason, raw=raw)


def _reply(item: Mapping[str, Any]) -> Inbound | None:
    at, phone = beijing(item.get("send_time")), e164(str(item.get("phone_number", "")))
    sequence, text = item.get("sequence_id"), str(item.get("content", ""))
    if at is None or phone is None or sequence is None:
        return None
    return Inbound(
        "sms.replied",
        at,
        f"aliyun_sms:{sequence}",
        (("phone", phone),),
        {"text": text},
        opt_out=means_stop(text),
    )
