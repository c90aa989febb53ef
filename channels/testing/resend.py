"""A fake of Resend's API. Knows one key and the domains it may send from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+")
_FIELDS = {"from", "to", "subject", "text", "html", "reply_to", "headers", "tags", "cc", "bcc", "attachments"}


class FakeResend(FakeApi):
    """`messages` are the mails that went out; `signed` makes a call of Resend's to us."""

    def __init__(self, api_key: str, domains: Collection[str], secret: str = "") -> None:
        """`secret` is the webhook's, `whsec_…`."""
        super().__init__()
        self.api_key, self.domains, self.secret = api_key, domains, secret
        self.quota: int | None = None
        """Mails that may still go out today; None for any number."""
        self._answers: dict[str, tuple[bytes, Any]] = {}

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        match kind:
            case "throttle":
                return _error(429, "rate_limit_exceeded", "Too many requests", retry_after="1")
            case "fail":
                return _error(500, "application_error", f"cannot send {request.body.decode()}")
            case _:
                return _error(422, "invalid_parameter", f"not {request.body.decode()}")

    def serve(self, request: Request) -> Behaviour:
        if not request.headers.get("user-agent"):
            return _error(403, "invalid_access", "no user agent")
        authorization = request.headers.get("authorization", "")
        if not authorization.startswith("Bearer "):
            return _error(401, "missing_api_key", "Missing API key")
        if authorization != f"Bearer {self.api_key}":
            return _error(403, "invalid_api_key", "API key is invalid")
        if request.method != "POST" or request.path not in ("/emails", "/emails/batch"):
            return _error(404, "not_found", "no such endpoint")
        return self._once(request)

    def _once(self, request: Request) -> Behaviour:
        key = request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= 256:
            return _error(400, "invalid_idempotency_key", "1 to 256 characters")
        digest = hashlib.sha256(request.body).digest()
        if key in self._answers:
            first, answer = self._answers[key]
            if first != digest:
                return _error(409, "invalid_idempotent_request", "another payload")
            return said(200, answer)
        answered = self._batch(request, key) if request.path.endswith("batch") else self._single(request, key)
        if answered.status == 200 and key is not None:
            self._answers[key] = (digest, answered.answer)
        return answered

    def _single(self, request: Request, key: str | None) -> Behaviour:
        refusal = self._refusal(request.document)
        if refusal is not None:
            return refusal
        return said(200, {"id": self._keep(request.document, key or "")})

    def _batch(self, request: Request, key: str | None) -> Behaviour:
        mails = request.document
        if not isinstance(mails, list) or not 1 <= len(mails) <= 100:
            return _error(422, "validation_error", "1 to 100 mails")
        refusals = {place: r for place, mail in enumerate(mails) if (r := self._refusal(mail)) is not None}
        if refusals and request.headers.get("x-batch-validation") != "permissive":
            return next(iter(refusals.values()))
        # As the real one does without a word.
        for mail in mails:
            if isinstance(mail, dict):
                mail.pop("attachments", None)
        ids = [{"id": self._keep(m, key or "")} for place, m in enumerate(mails) if place not in refusals]
        errors = [{"index": place, "message": r.answer["message"]} for place, r in refusals.items()]
        return said(200, {"data": ids, "errors": errors})

    def _refusal(self, mail: Any) -> Behaviour | None:
        if not isinstance(mail, dict) or mail.keys() - _FIELDS:
            return _error(422, "validation_error", "unknown field")
        if not mail.keys() >= {"from", "to", "subject"} or not ("text" in mail or "html" in mail):
            return _error(422, "missing_required_field", "a field is missing")
        sender = re.sub(r"^.*<|>$", "", mail["from"])
        if sender.rpartition("@")[2] not in self.domains:
            return _error(403, "validation_error", "The domain is not verified.")
        to = mail["to"]
        if not 1 <= len(to) <= 50 or not all(_ADDRESS.fullmatch(each) for each in to):
            return _error(422, "validation_error", f"Invalid `to` field: {to}")
        if any("blocked" in each for each in to):
            return _error(422, "security_error", f"blocked: {to}")
        if self.quota is not None:
            if self.quota == 0:
                return _error(429, "daily_quota_exceeded", "You have reached your daily email quota.")
            self.quota -= 1
        return None

    def _keep(self, mail: Mapping[str, Any], key: str) -> str:
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, str(len(self.messages))))
        text = f"{mail['subject']}\n{mail.get('text', '')}"
        self.messages.append(Taken(key, mail["to"][0], text, id, mail))
        return id

    def signed(
        self, event: Mapping[str, Any], at: datetime, id: str = "msg_1"
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of a call that tells of this event."""
        body = json.dumps(event, ensure_ascii=False).encode()
        stamp = str(int(at.timestamp()))
        secret = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.new(secret, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {"svix-id": id, "svix-timestamp": stamp, "svix-signature": f"v1,AAAA {signature}"}, body


def _error(status: int, name: str, message: str, retry_after: str | None = None) -> Behaviour:
    return said(status, {"statusCode": status, "name": name, "message": message}, retry_after)
