"""A fake of Alibaba Cloud's SMS API. Knows one account, one signature, and the templates it is given."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, unquote_plus

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

BEIJING = timezone(timedelta(hours=8))
MOST_A_DAY = 50
"""Messages of one signature and template to one number in 24 hours."""
LONGEST = 500
_AUTHORIZATION = re.compile(
    r"ACS3-HMAC-SHA256 Credential=(?P<id>[^,]+),SignedHeaders=(?P<names>[^,]+),"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_NUMBER = re.compile(r"1[3-9]\d{9}|[2-9]\d{7,14}|1\d{10}")
_NEEDED = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"}


class FakeAliyunSms(FakeApi):
    """`messages` are what people got; `report` and `reply` are what Aliyun would call us with."""

    def __init__(self, key_id: str, secret: str, sign_name: str, templates: Mapping[str, str]) -> None:
        """`templates`: approved texts by code, with `${name}`."""
        super().__init__()
        self.key_id, self.secret, self.sign_name, self.templates = key_id, secret, sign_name, templates
        self.unknown_numbers: set[str] = set()
        self._nonces: set[str] = set()
        self._sent: Counter[tuple[str, str]] = Counter()

    def sends(self, request: Request) -> bool:
        return request.headers.get("x-acs-action") == "SendSms"

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        phone = request.query.get("PhoneNumbers", "")
        match kind:
            case "throttle":
                return _code("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1")
            case "fail":
                return _code("isp.SYSTEM_ERROR", f"{phone}: system error")
            case _:
                return _code("isv.BLACK_KEY_CONTROL_LIMIT", f"{phone} {request.query.get('TemplateParam')}")

    def serve(self, request: Request) -> Behaviour:
        return self.forgery(request) or self._act(request)

    def _act(self, request: Request) -> Behaviour:
        match request.headers["x-acs-action"]:
            case "SendSms":
                return self._send(request.query)
            case "QuerySendDetails":
                return self._details(request.query)
        return said(404, {"Code": "InvalidAction.NotFound", "Message": "no such action"})

    def forgery(self, request: Request) -> Behaviour | None:
        """Why this request would not be let in; None if it would."""
        given = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if given is None:
            return said(400, {"Code": "IncompleteSignature", "Message": "no ACS3 authorization"})
        if given["id"] != self.key_id:
            return said(404, {"Code": "InvalidAccessKeyId.NotFound", "Message": "no such key"})
        signed = given["names"].split(";")
        if not set(signed) >= _NEEDED or request.headers.get("x-acs-version") != "2017-05-25":
            return said(400, {"Code": "IncompleteSignature", "Message": "headers are missing"})
        if hashlib.sha256(request.body).hexdigest() != request.headers.get("x-acs-content-sha256"):
            return said(400, {"Code": "SignatureDoesNotMatch", "Message": "another body"})
        if not hmac.compare_digest(self.signature(request, signed), given["signature"]):
            return said(400, {"Code": "SignatureDoesNotMatch", "Message": "signature does not match"})
        return self._stale(request.headers["x-acs-date"], request.headers["x-acs-signature-nonce"])

    def signature(self, request: Request, signed: list[str]) -> str:
        """What the signature should be, from the request as it came over the wire."""
        decoded = []
        for pair in filter(None, request.query_text.split("&")):
            name, _, value = pair.partition("=")
            decoded.append((unquote_plus(name), unquote_plus(value)))
        encoded = "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in sorted(decoded))
        text = f"{request.method}\n{request.path}\n{encoded}\n"
        for name in signed:
            text += f"{name}:{request.headers[name]}\n"
        text += f"\n{';'.join(signed)}\n{request.headers['x-acs-content-sha256']}"
        digest = hashlib.new("sha256", text.encode()).hexdigest()
        return hmac.digest(self.secret.encode(), f"ACS3-HMAC-SHA256\n{digest}".encode(), "sha256").hex()

    def _stale(self, date: str, nonce: str) -> Behaviour | None:
        try:
            moment = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return said(400, {"Code": "InvalidTimeStamp.Format", "Message": "no time stamp"})
        if abs(datetime.now(UTC) - moment) > timedelta(minutes=15):
            return said(400, {"Code": "InvalidTimeStamp.Expired", "Message": "too old"})
        if nonce in self._nonces:
            return said(400, {"Code": "SignatureNonceUsed", "Message": "nonce was used already"})
        self._nonces.add(nonce)
        return None

    def _send(self, query: Mapping[str, str]) -> Behaviour:
        phone, code = query.get("PhoneNumbers", ""), query.get("TemplateCode", "")
        if not _NUMBER.fullmatch(phone) or phone in self.unknown_numbers:
            return _code("isv.MOBILE_NUMBER_ILLEGAL", f"{phone} is no number")
        if query.get("SignName") != self.sign_name:
            return _code("isv.SMS_SIGNATURE_ILLEGAL", "no such signature")
        if code not in self.templates:
            return _code("isv.SMS_TEMPLATE_ILLEGAL", "no such template")
        try:
            values = json.loads(query.get("TemplateParam", "{}"))
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            return _code("isv.INVALID_JSON_PARAM", "only strings")
        if any("://" in value for value in values.values()):
            return _code("isv.PARAM_NOT_SUPPORT_URL", "no links in variables")
        try:
            text = re.sub(r"\$\{(\w+)\}", lambda m: str(values[m[1]]), self.templates[code])
        except KeyError:
            return _code("isv.TEMPLATE_MISSING_PARAMETERS", "a variable is missing")
        text = f"【{self.sign_name}】{text}"
        if len(text) > LONGEST:
            return _code("isv.PARAM_LENGTH_LIMIT", "too long")
        if self._sent[code, phone] >= MOST_A_DAY:
            return _code("isv.BUSINESS_LIMIT_CONTROL", f"触发天级流控Permits:{MOST_A_DAY}")
        self._sent[code, phone] += 1
        biz_id = f"{len(self.messages) + 1:012}^0"
        self.messages.append(Taken(query.get("OutId", ""), phone, text, biz_id, {"TemplateCode": code}))
        return said(200, {"Code": "OK", "Message": "OK", "BizId": biz_id, "RequestId": "R"})

    def _details(self, query: Mapping[str, str]) -> Behaviour:
        today = f"{datetime.now(BEIJING):%Y%m%d}"
        size, page = int(query["PageSize"]), int(query["CurrentPage"])
        if not 1 <= size <= 50:
            return _code("isv.INVALID_PARAMETERS", "PageSize is 1 to 50")
        mine = [m for m in self.messages if m.address == query["PhoneNumber"]]
        mine = mine if query["SendDate"] == today else []
        shown = [
            {
                "OutId": m.key,
                "PhoneNum": m.address,
                "Content": m.text,
                "SendStatus": 3,
                "ErrCode": "DELIVERED",
            }
            for m in mine[(page - 1) * size : page * size]
        ]
        document = {"Code": "OK", "TotalCount": len(mine), "SmsSendDetailDTOs": {"SmsSendDetailDTO": shown}}
        return said(200, document)

    def report(self, *taken: Taken, err_code: str = "DELIVERED", at: datetime | None = None) -> bytes:
        """The body of `SmsReport` for these messages."""
        return json.dumps([self._report(each, err_code, at) for each in taken]).encode()

    def _report(self, taken: Taken, err_code: str, at: datetime | None) -> dict[str, Any]:
        time = f"{(at or datetime.now(UTC)).astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
        return {
            "phone_number": taken.address,
            "send_time": time,
            "report_time": time,
            "success": err_code == "DELIVERED",
            "err_code": err_code,
            "err_msg": "",
            "sms_size": "1",
            "biz_id": taken.id,
            "out_id": taken.key,
        }

    def reply(self, phone: str, text: str, at: datetime, sequence: int = 1) -> bytes:
        """The body of `SmsUp`: somebody wrote back."""
        time = f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
        item = {
            "phone_number": phone,
            "content": text,
            "send_time": time,
            "dest_code": "1",
            "sequence_id": sequence,
        }
        return json.dumps([item]).encode()


def _code(code: str, message: str) -> Behaviour:
    return said(200, {"Code": code, "Message": message, "RequestId": "R"})
