"""Calls as WeChat, mini-programs and WeCom make them. Shares no code with what reads them."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha1
from typing import Any
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from channels.inbound import Call


class Caller:
    """Calls of one account. Without `aes_key` they are plain."""

    def __init__(self, token: str, receiver: str, aes_key: str | None = None) -> None:
        self.token, self.receiver, self.aes_key = token, receiver, aes_key

    def sign(self, *more: str) -> str:
        return sha1("".join(sorted([self.token, *more])).encode()).hexdigest()

    def encrypt(self, words: bytes) -> str:
        assert self.aes_key is not None
        key = base64.b64decode(self.aes_key + "=")
        padder = PKCS7(256).padder()
        plain = os.urandom(16) + len(words).to_bytes(4, "big") + words + self.receiver.encode()
        machine = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
        padded = padder.update(plain) + padder.finalize()
        return base64.b64encode(machine.update(padded) + machine.finalize()).decode()

    def check(self, at: datetime, words: str, *, encrypted: bool = False) -> Call:
        """The GET that asks whether the address is ours."""
        timestamp, nonce = str(int(at.timestamp())), os.urandom(4).hex()
        if encrypted:
            echo = self.encrypt(words.encode())
            query = {"msg_signature": self.sign(timestamp, nonce, echo), "echostr": echo}
        else:
            query = {"signature": self.sign(timestamp, nonce), "echostr": words}
        return Call("GET", {**query, "timestamp": timestamp, "nonce": nonce}, {}, b"", at)

    def call(self, at: datetime, document: Mapping[str, Any] | bytes) -> Call:
        """A document, as fields or ready as XML. `CreateTime` is `at` unless the fields say otherwise."""
        timestamp, nonce = str(int(at.timestamp())), os.urandom(4).hex()
        if isinstance(document, bytes):
            body = document
        else:
            body = xml({"ToUserName": self.receiver, "CreateTime": timestamp, **document})
        query = {"timestamp": timestamp, "nonce": nonce, "signature": self.sign(timestamp, nonce)}
        if self.aes_key is not None:
            sealed = self.encrypt(body)
            query |= {"encrypt_type": "aes", "msg_signature": self.sign(timestamp, nonce, sealed)}
            body = xml({"ToUserName": self.receiver, "Encrypt": sealed})
        return Call("POST", query, {"content-type": "text/xml"}, body, at)


def xml(fields: Mapping[str, Any]) -> bytes:
    return f"<xml>{_inner(fields)}</xml>".encode()


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(
            f"<{name}>{_inner(each)}</{name}>"
            for name, inner in value.items()
            for each in (inner if isinstance(inner, list) else [inner])
        )
    return escape(str(value))
