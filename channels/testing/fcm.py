"""A fake of Firebase Cloud Messaging and of Google's token endpoint. Makes its own service account."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

LARGEST = 4096
MARK = "device-"
"""Tokens of devices begin with it."""


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeFcm(FakeApi):
    """`messages` are what devices showed. `revoke` makes every access token of before worthless."""

    project, email = "nanxun-tea", "push@nanxun-tea.iam.gserviceaccount.com"

    def __init__(self) -> None:
        super().__init__()
        self.tokens_made = 0
        self.life = 3600
        self.gone: set[str] = set()
        """Tokens of apps that were removed."""
        self._good: set[str] = set()

    def account(self) -> str:
        """The JSON key of the service account. Its token endpoint is this fake."""
        pem = _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": self.project,
                "private_key_id": "k1",
                "private_key": pem,
                "client_email": self.email,
                "token_uri": f"{self.url}/token",
            }
        )

    def revoke(self) -> None:
        self._good.clear()

    def sends(self, request: Request) -> bool:
        return request.path.endswith("messages:send")

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        message = request.document["message"]
        match kind:
            case "throttle":
                return _error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "slow down", retry_after="30")
            case "fail":
                return _error(503, "UNAVAILABLE", "UNAVAILABLE", f"cannot reach {message['token']}")
            case _:
                return _error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", f"not {message}")

    def serve(self, request: Request) -> Behaviour:
        if request.path == "/token":
            return self._token(request)
        if request.path != f"/v1/projects/{self.project}/messages:send":
            return _error(404, "NOT_FOUND", None, "no such project")
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._good:
            return _error(401, "UNAUTHENTICATED", None, "invalid authentication credentials")
        return self._send(request)

    def _token(self, request: Request) -> Behaviour:
        form = request.form
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return said(400, {"error": "unsupported_grant_type"})
        claims = self._claims(form.get("assertion", ""))
        now = time.time()
        wanted = {
            "iss": self.email,
            "aud": f"{self.url}/token",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
        }
        if claims is None or any(claims.get(name) != value for name, value in wanted.items()):
            return said(400, {"error": "invalid_grant", "error_description": "Invalid JWT"})
        if not claims["iat"] - 60 <= now < claims["exp"] <= claims["iat"] + 3600:
            return said(400, {"error": "invalid_grant", "error_description": "Token must be short-lived"})
        self.tokens_made += 1
        token = f"ya29.token-{self.tokens_made}"
        self._good.add(token)
        return said(200, {"access_token": token, "expires_in": self.life, "token_type": "Bearer"})

    def _claims(self, assertion: str) -> dict[str, Any] | None:
        """The claims, if the assertion is signed by the account's key."""
        head, _, rest = assertion.partition(".")
        body, _, signature = rest.partition(".")
        try:
            public = _key().public_key()
            public.verify(_bytes(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
            header = json.loads(_bytes(head))
            claims = json.loads(_bytes(body))
        except (InvalidSignature, ValueError):
            return None
        return claims if header["alg"] == "RS256" and isinstance(claims, dict) else None

    def _send(self, request: Request) -> Behaviour:
        message = request.document.get("message") if isinstance(request.document, dict) else None
        if not isinstance(message, dict) or set(message) - {
            "token",
            "notification",
            "data",
            "android",
            "apns",
        }:
            return _error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "unknown field")
        token, shown = message.get("token", ""), message.get("notification", {})
        if not token.startswith(MARK):
            return _error(
                400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", f"{token} is not a token", field="message.token"
            )
        if token in self.gone:
            return _error(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found.")
        if len(json.dumps(shown, ensure_ascii=False).encode()) > LARGEST or not shown.get("body"):
            return _error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message is too big")
        collapse = message["apns"]["headers"]["apns-collapse-id"]
        if len(collapse.encode()) > 64:
            return _error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "apns-collapse-id")
        name = f"projects/{self.project}/messages/{len(self.messages) + 1}"
        text = f"{shown.get('title', '')}\n{shown['body']}"
        self.messages.append(Taken(collapse, token, text, name, message))
        return said(200, {"name": name})


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(
    status: int,
    name: str,
    code: str | None,
    message: str,
    *,
    retry_after: str | None = None,
    field: str | None = None,
) -> Behaviour:
    details: list[dict[str, Any]] = []
    if code is not None:
        details.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    if field is not None:
        violations = [{"field": field, "description": "Invalid registration token"}]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    error = {"code": status, "message": message, "status": name, "details": details}
    return said(status, {"error": error}, retry_after)
