"""A fake of Twilio's Messages API. Knows one account and the numbers it may send from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlencode

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour


class FakeTwilio(FakeApi):
    """`messages` are what people got; `signed` makes a call of Twilio's to us."""

    def __init__(self, account_sid: str, auth_token: str, senders: Collection[str]) -> None:
        super().__init__()
        self.account_sid, self.auth_token, self.senders = account_sid, auth_token, senders
        self.stopped: set[str] = set()

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        match kind:
            case "throttle":
                return _error(429, 20429, "Too Many Requests", retry_after="2")
            case "fail":
                return _error(503, 20503, f"Service unavailable for {request.form}")
            case _:
                return _error(400, 21612, f"cannot route to {request.form['To']}")

    def serve(self, request: Request) -> Behaviour:
        login = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return _error(401, 20003, "Authenticate")
        if (
            request.path != f"/2010-04-01/Accounts/{self.account_sid}/Messages.json"
            or request.method != "POST"
        ):
            return _error(404, 20404, "not found")
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return _error(415, 20009, "Unsupported Media Type")
        return self._send(request.form)

    def _send(self, form: Mapping[str, str]) -> Behaviour:
        to, body = form.get("To", ""), form.get("Body", "")
        if not re.fullmatch(r"\+[1-9]\d{9,14}", to):
            return _error(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if not body:
            return _error(400, 21602, "Message body is required.")
        if len(body) > 1600:
            return _error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        sender = form.get("From") or form.get("MessagingServiceSid")
        if not sender:
            return _error(400, 21603, "A 'From' phone number is required.")
        if sender not in self.senders:
            return _error(400, 21606, f"The From phone number {sender} is not valid")
        if to in self.stopped:
            return _error(400, 21610, f"Attempt to send to unsubscribed recipient {to}")
        callback = form.get("StatusCallback", "")
        sid = "SM" + hashlib.sha256(str(len(self.messages)).encode()).hexdigest()[:32]
        key = callback.rpartition("key=")[2]
        self.messages.append(Taken(key, to, body, sid, {"StatusCallback": callback}))
        return said(201, {"sid": sid, "status": "queued", "to": to, "body": body, "error_code": None})

    def signed(self, url: str, form: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
        """Headers and body of a call to this address."""
        joined = url
        for name in sorted(form):
            joined += f"{name}{form[name]}"
        digest = hmac.new(self.auth_token.encode(), joined.encode(), hashlib.sha1).digest()
        headers = {
            "x-twilio-signature": base64.b64encode(digest).decode(),
            "content-type": "application/x-www-form-urlencoded",
        }
        return headers, urlencode(form).encode()


def _error(status: int, code: int, message: str, retry_after: str | None = None) -> Behaviour:
    return said(status, {"code": code, "message": message, "status": status}, retry_after)
