"""Alipay's gateway: one address, requests signed by RSA2, answers signed over the text of their node.

    sign     parameters that are not empty, without `sign`, sorted, as k=v joined by &; RSA-SHA256 (PKCS#1)
    verify   an answer: over the node `…_response` exactly as it stands in the body
             a call to us: over the parameters without `sign` and `sign_type`; the older ones keep `sign_type`

(opendocs.alipay.com, "signature".) An answer that says yes and is not signed may be anybody's: `Unknown`.
Rejections come unsigned where the gateway does not know who we are, and are believed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from pydantic import AfterValidator, SecretStr

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import HttpClient, failure
from channels.receipt import Reason

BEIJING = ZoneInfo("Asia/Shanghai")
YES = "10000"
CODES: Mapping[str, Rejected | Throttled | Unavailable] = {
    "20000": Unavailable(),
    "20001": Rejected(Reason.CREDENTIALS),
    "40001": Rejected(Reason.CONTENT),
    "40002": Rejected(Reason.CONTENT),
    "40003": Rejected(Reason.CREDENTIALS),
    "40005": Throttled(timedelta(minutes=1)),
    "40006": Rejected(Reason.CREDENTIALS),
}
"""What a `code` means. 40004 is a matter of the business, and `sub_code` decides."""
_CREDENTIALS = re.compile(
    r"isv\.(invalid|missing)-(signature|signature-type|signature-key|app-id|auth-token|app-auth-token)"
    r"|isv\.insufficient-.*|isv\..*-isv-permissions|isp\.unauthorized.*"
)
"""Sub codes by which the gateway says that it does not let us in, whatever the code."""
_ARMOUR = re.compile(r"-----[A-Z ]+-----|\s")


def read_private_key(text: str) -> RSAPrivateKey:
    """A key as PEM or its base64 alone, PKCS#1 or PKCS#8. The error does not show it."""
    try:
        key = load_der_private_key(base64.b64decode(_ARMOUR.sub("", text), validate=True), None)
    except (ValueError, TypeError, binascii.Error):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("expected an RSA private key, as PEM or in base64")
    return key


def read_public_key(text: str) -> RSAPublicKey:
    try:
        key = load_der_public_key(base64.b64decode(_ARMOUR.sub("", text), validate=True))
    except (ValueError, TypeError, binascii.Error):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("expected an RSA public key, as PEM or in base64")
    return key


def _private(key: SecretStr) -> SecretStr:
    read_private_key(key.get_secret_value())
    return key


def _public(key: str) -> str:
    read_public_key(key)
    return key


PrivateKey = Annotated[SecretStr, AfterValidator(_private)]
PublicKey = Annotated[str, AfterValidator(_public)]


def sign(key: RSAPrivateKey, text: str, charset: str = "utf-8") -> str:
    return base64.b64encode(key.sign(text.encode(charset), PKCS1v15(), SHA256())).decode()


def verified(key: RSAPublicKey, text: str, signature: object, charset: str = "utf-8") -> bool:
    if not isinstance(signature, str):
        return False
    try:
        key.verify(base64.b64decode(signature), text.encode(charset), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def to_sign(parameters: Mapping[str, str], *without: str) -> str:
    return "&".join(f"{k}={v}" for k, v in sorted(parameters.items()) if v and k not in ("sign", *without))


def public_half(key: RSAPrivateKey) -> str:
    """The public key that belongs to it, in base64."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def raw_members(text: str) -> dict[str, str]:
    """A JSON object's members, each value as it stands in the text. ValueError if it is no object."""
    read, found = json.JSONDecoder().raw_decode, {}
    place = _past(text, 0, "{")
    while not text.startswith("}", place):
        name, end = read(text, place)
        start = _past(text, end, ":")
        _, end = read(text, start)
        found[str(name)] = text[start:end]
        place = _skip(text, end)
        if text.startswith(",", place):
            place = _skip(text, place + 1)
        elif not text.startswith("}", place):
            raise ValueError("an object ends with }")
    return found


def _past(text: str, place: int, mark: str) -> int:
    place = _skip(text, place)
    if not text.startswith(mark, place):
        raise ValueError(f"{mark} is missing")
    return _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place


class Gateway:
    """Signed calls of one app."""

    def __init__(
        self,
        url: str,
        app_id: str,
        private_key: RSAPrivateKey,
        alipay_key: RSAPublicKey,
        sub_codes: Mapping[str, Reason],
        http: HttpClient,
        clock: Callable[[], datetime],
    ) -> None:
        self._url, self._app_id, self._http, self._clock = url, app_id, http, clock
        self._private_key, self._alipay_key, self._sub_codes = private_key, alipay_key, sub_codes

    def request(self, method: str, content: Mapping[str, Any]) -> dict[str, str]:
        """The signed parameters of one call made now."""
        parameters = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": self._clock().astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        }
        return {**parameters, "sign": sign(self._private_key, to_sign(parameters))}

    async def call(self, method: str, content: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """The node of an answer that says yes, and the provider's own words. Raises what it means if not."""
        answer = await self._http.exchange(
            "POST",
            # The gateway looks here for how the body is written.
            f"{self._url}?charset=utf-8",
            headers={"content-type": "application/x-www-form-urlencoded;charset=utf-8"},
            content=urlencode(self.request(method, content)).encode(),
        )
        trouble = failure(answer)
        if trouble is not None:
            raise trouble
        try:
            members = raw_members(answer.body.decode()) if not answer.cut else {}
        except (ValueError, RecursionError):
            members = {}
        name = method.replace(".", "_") + "_response"
        text = members.get(name, members.get("error_response", ""))
        node = json.loads(text) if text else None
        if not isinstance(node, dict):
            raise Unknown("the answer has no node of the gateway", raw=answer.raw)
        signature = json.loads(members.get("sign", "null"))
        code = str(node.get("code", ""))
        if (code == YES or signature is not None) and not verified(self._alipay_key, text, signature):
            raise Unknown("the answer is not signed by Alipay", raw=answer.raw)
        if code == YES and name in members:
            return node, answer.raw
        raise self._meaning(code, str(node.get("sub_code", "")), answer.raw)

    def _meaning(self, code: str, sub_code: str, raw: str) -> Rejected | Throttled | Unavailable:
        if sub_code in self._sub_codes:
            found: Rejected | Throttled | Unavailable = Rejected(self._sub_codes[sub_code])
        elif _CREDENTIALS.fullmatch(sub_code):
            found = Rejected(Reason.CREDENTIALS)
        else:
            found = CODES.get(code, Rejected(Reason.OTHER))
        detail = (
            f"code {code} {sub_code}".rstrip() if re.fullmatch(r"[\w.-]{0,64}", sub_code) else f"code {code}"
        )
        return replace(found, detail=detail, raw=raw)
