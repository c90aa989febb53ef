"""A fake of Tencent Cloud's SMS API. Knows one key, one application, one signature, and its templates."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

BEIJING = timezone(timedelta(hours=8))
MOST_A_DAY = 10
"""Messages to one number in a day, the console's default."""
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>\d{4}-\d\d-\d\d/sms/tc3_request), "
    r"SignedHeaders=(?P<names>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)


class FakeTencentSms(FakeApi):
    """`messages` are what people got; `report` and `reply` are what Tencent would call us with."""

    def __init__(
        self, secret_id: str, secret: str, app_id: str, sign_name: str, templates: Mapping[str, str]
    ) -> None:
        """`templates`: approved texts by id, with `{1}`."""
        super().__init__()
        self.secret_id, self.secret, self.app_id = secret_id, secret, app_id
        self.sign_name, self.templates = sign_name, templates
        self.stopped: set[str] = set()
        self.night = False
        """Outside the hours of marketing."""
        self.longest_value = 100
        self._sent: Counter[str] = Counter()

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        numbers = request.document["PhoneNumberSet"]
        match kind:
            case "throttle":
                return _each(numbers, "LimitExceeded.PhoneNumberThirtySecondLimit")
            case "fail":
                return _error("ResourceUnavailable", f"cannot send to {numbers}")
            case _:
                return _each(numbers, "FailedOperation.ContainSensitiveWord", str(request.document))

    def serve(self, request: Request) -> Behaviour:
        return self.forgery(request) or self._send(request.document)

    def forgery(self, request: Request) -> Behaviour | None:
        """Why this request would not be let in; None if it would."""
        headers = request.headers
        given = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if given is None:
            return _error("AuthFailure.InvalidAuthorization")
        if given["id"] != self.secret_id:
            return _error("AuthFailure.SecretIdNotFound")
        if not {"content-type", "host"} <= set(given["names"].split(";")):
            return _error("AuthFailure.SignatureFailure")
        if self.signature(request, given["scope"], given["names"]) != given["signature"]:
            return _error("AuthFailure.SignatureFailure")
        moment = int(headers["x-tc-timestamp"])
        if (
            abs(time.time() - moment) > 300
            or f"{datetime.fromtimestamp(moment, UTC):%F}" not in given["scope"]
        ):
            return _error("AuthFailure.SignatureExpire")
        if headers.get("x-tc-action") != "SendSms" or headers.get("x-tc-version") != "2021-01-11":
            return _error("InvalidAction")
        if "x-tc-region" not in headers:
            return _error("MissingParameter")
        return None

    def signature(self, request: Request, scope: str, names: str) -> str:
        """What the signature should be, from the request as it came over the wire."""
        signed = "".join(f"{name}:{request.headers[name].lower()}\n" for name in names.split(";"))
        lines = [request.method, request.path, request.query_text, signed, names]
        lines.append(hashlib.new("sha256", request.body).hexdigest())
        digest = hashlib.new("sha256", "\n".join(lines).encode()).hexdigest()
        date, service, end = scope.split("/")
        first = hmac.new(b"TC3" + self.secret.encode(), date.encode(), "sha256").digest()
        second = hmac.new(first, service.encode(), "sha256").digest()
        key = hmac.new(second, end.encode(), "sha256").digest()
        text = f"TC3-HMAC-SHA256\n{request.headers['x-tc-timestamp']}\n{scope}\n{digest}"
        return hmac.new(key, text.encode(), "sha256").hexdigest()

    def _send(self, document: Any) -> Behaviour:
        if not isinstance(document, dict):
            return _error("InvalidParameter")
        numbers, values = document.get("PhoneNumberSet"), document.get("TemplateParamSet", [])
        if not numbers:
            return _error("MissingParameter.EmptyPhoneNumberSet")
        if len(numbers) > 200:
            return _error("LimitExceeded.PhoneNumberCountLimit")
        if len({number.startswith("+86") for number in numbers}) > 1:
            return _error("UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber")
        if document.get("SmsSdkAppId") != self.app_id:
            return _error("UnauthorizedOperation.SmsSdkAppIdVerifyFail")
        if len(str(document.get("SessionContext", "")).encode()) >= 512:
            return _error("InvalidParameter.InvalidParameters")
        refusal = self._refusal(document, values)
        if refusal is not None:
            return _each(numbers, refusal)
        text = re.sub(
            r"\{(\d+)\}", lambda m: str(values[int(m[1]) - 1]), self.templates[document["TemplateId"]]
        )
        context = document.get("SessionContext", "")
        return said(
            200,
            _response(SendStatusSet=[self._one(n, f"【{self.sign_name}】{text}", context) for n in numbers]),
        )

    def _refusal(self, document: Mapping[str, Any], values: list[str]) -> str | None:
        """Why none of the numbers gets this."""
        template = self.templates.get(document.get("TemplateId", ""))
        if document.get("SignName") != self.sign_name:
            return "FailedOperation.SignatureIncorrectOrUnapproved"
        if template is None:
            return "FailedOperation.TemplateIncorrectOrUnapproved"
        if len(set(re.findall(r"\{\d+\}", template))) != len(values):
            return "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"
        if any("://" in value for value in values):
            return "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter"
        if any(len(value) > self.longest_value for value in values):
            return "InvalidParameterValue.TemplateParameterLengthLimit"
        if self.night and template.endswith("拒收请回复R"):
            return "FailedOperation.MarketingSendTimeConstraint"
        return None

    def _one(self, number: str, text: str, context: str) -> dict[str, Any]:
        if not re.fullmatch(r"\+86\d{11}|\+(?!86)\d{7,15}", number):
            return _status(number, "InvalidParameterValue.IncorrectPhoneNumber")
        if number in self.stopped:
            return _status(number, "FailedOperation.PhoneNumberInBlacklist")
        if self._sent[number] >= MOST_A_DAY:
            return _status(number, "LimitExceeded.PhoneNumberDailyLimit")
        self._sent[number] += 1
        serial = f"2019:{len(self.messages) + 1:016}"
        self.messages.append(Taken(context, number, text, serial))
        return {**_status(number, "Ok"), "SerialNo": serial, "SessionContext": context}

    def report(self, *taken: Taken, errmsg: str = "DELIVRD", description: str = "") -> bytes:
        """The body of the receipts of these messages."""
        time = f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}"
        return json.dumps(
            [
                {
                    "user_receive_time": time,
                    "nationcode": "86",
                    "mobile": each.address.removeprefix("+86"),
                    "report_status": "SUCCESS" if errmsg == "DELIVRD" else "FAIL",
                    "errmsg": errmsg,
                    "description": description,
                    "sid": each.id,
                }
                for each in taken
            ]
        ).encode()

    def reply(self, mobile: str, text: str, at: datetime) -> bytes:
        """The body of what somebody wrote back."""
        document = {"extend": "01", "mobile": mobile, "nationcode": "86", "sign": self.sign_name}
        return json.dumps({**document, "text": text, "time": int(at.timestamp())}).encode()


def _response(**fields: Any) -> dict[str, Any]:
    return {"Response": {**fields, "RequestId": "a0aabda6-cf91-4f3e-a81f-9198114a2279"}}


def _error(code: str, message: str = "") -> Behaviour:
    return said(200, _response(Error={"Code": code, "Message": message}))


def _status(number: str, code: str, message: str = "") -> dict[str, Any]:
    return {
        "SerialNo": "",
        "PhoneNumber": number,
        "Fee": int(code == "Ok"),
        "SessionContext": "",
        "Code": code,
        "Message": message or f"{number}: {code}",
        "IsoCode": "CN",
    }


def _each(numbers: list[str], code: str, message: str = "") -> Behaviour:
    return said(200, _response(SendStatusSet=[_status(number, code, message) for number in numbers]))
