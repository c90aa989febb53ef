"""Tokens for APIs that want one: JSON Web Tokens (RFC 7519), and a cache that makes one at a time."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SigningKey = RSAPrivateKey | EllipticCurvePrivateKey


def signing_key(pem: str) -> SigningKey:
    """An RSA key or one on the curve P-256, unencrypted. Raises ValueError, which does not show it."""
    expected = "expected a private key in PEM, -----BEGIN PRIVATE KEY----- …"
    try:
        # One line of an environment variable often holds its line breaks spelled out.
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(expected) from None
    if isinstance(key, RSAPrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError(f"{expected}, RSA or P-256")


def jwt(key: SigningKey, claims: Mapping[str, Any], **header: str) -> str:
    """A token signed by RS256 or ES256, as the key is (RFC 7518 §3.3, §3.4)."""
    rsa = isinstance(key, RSAPrivateKey)
    head = {"alg": "RS256" if rsa else "ES256", "typ": "JWT", **header}
    text = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return f"{text}.{_base64(_signature(key, text.encode()))}"


def _signature(key: SigningKey, text: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(text, PKCS1v15(), SHA256())
    r, s = decode_dss_signature(key.sign(text, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenCache:
    """One token, made when it is first wanted and again some time before it ends. Not shown by `repr`."""

    def __init__(
        self,
        make: Callable[[], Awaitable[tuple[str, float]]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make` returns a token and for how many seconds to use it. What it raises, all who wait get."""
        self._make = make
        self._clock = clock
        self._token: str | None = None
        self._until = 0.0
        self._making: asyncio.Task[str] | None = None

    async def get(self) -> str:
        if self._token is not None and self._clock() < self._until:
            return self._token
        if self._making is None:
            self._making = asyncio.create_task(self._renew())
            self._making.add_done_callback(_seen)
        # Shielded: one who gives up must not take it from the others.
        return await asyncio.shield(self._making)

    async def _renew(self) -> str:
        try:
            self._token, seconds = await self._make()
            self._until = self._clock() + seconds
            return self._token
        finally:
            self._making = None

    def refuse(self, token: str) -> None:
        """The provider did not accept it. Another one that was made meanwhile stays."""
        if self._token == token:
            self._token = None


def _seen(task: asyncio.Task[str]) -> None:
    """So that nobody complains where all who waited have given up."""
    if not task.cancelled():
        task.exception()
