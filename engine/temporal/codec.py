"""Encryption of what Temporal keeps: AES-256-GCM, switched on by a key in the environment.

Every payload (inputs, results, signals, query answers, summaries) becomes `nonce + ciphertext` of the whole
payload, with the key's id beside it. Payloads that are not encrypted are read as they are, so that
enrolments begun before the key was set go on; those of an older key are read as long as that key is listed.
Search attributes, workflow ids, task queues and failures stay readable: none of them holds personal data.

- `KAIROS_PAYLOAD_KEY`: 32 bytes in base64, for writing and reading; without it nothing is encrypted.
- `KAIROS_PAYLOAD_KEY_ID`: its name, kept with each payload; a fingerprint of the key if not given.
- `KAIROS_PAYLOAD_OLD_KEYS`: `ID=KEY` pairs separated by commas, for reading only.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, PayloadCodec

KEY, KEY_ID, OLD_KEYS = "KAIROS_PAYLOAD_KEY", "KAIROS_PAYLOAD_KEY_ID", "KAIROS_PAYLOAD_OLD_KEYS"
ENCODING = b"binary/encrypted"
"""The value that Temporal's own samples and codec servers use."""
_NONCE = 12
_LENGTH = 32


class KeyMistake(ValueError):
    """A key in the environment cannot be used. Says which variable and what was expected, never the key."""


class UnreadablePayload(Exception):
    """A payload was encrypted with a key that is not here, or was tampered with."""


class EncryptingCodec(PayloadCodec):
    """Encrypts with the key `key_id` of `keys`, reads with all of them."""

    def __init__(self, keys: Mapping[str, bytes], key_id: str) -> None:
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._key_id = key_id

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        # A random nonce is good for 2**32 payloads of one key (NIST SP 800-38D, 8.3).
        nonce, name = os.urandom(_NONCE), self._key_id.encode()
        sealed = self._ciphers[self._key_id].encrypt(nonce, payload.SerializeToString(), name)
        return Payload(
            metadata={
                "encoding": ENCODING,
                "encryption-cipher": b"AES-256-GCM",
                "encryption-key-id": name,
            },
            data=nonce + sealed,
        )

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get("encryption-key-id", b"")
        cipher = self._ciphers.get(name.decode(errors="replace"))
        if cipher is None:
            raise UnreadablePayload(
                f"a payload is encrypted with the key {name.decode(errors='replace')!r}, which this process "
                f"does not have; add it to {OLD_KEYS}"
            )
        try:
            plain = cipher.decrypt(payload.data[:_NONCE], payload.data[_NONCE:], name)
        except InvalidTag:
            raise UnreadablePayload(
                f"a payload does not fit the key {name.decode(errors='replace')!r}: the key is another one "
                "than it was encrypted with, or the payload was changed"
            ) from None
        return Payload.FromString(plain)


def data_converter(environ: Mapping[str, str] = os.environ) -> DataConverter:
    """The converter that client, workers and replays share: the default one, encrypting if a key is set.

    Raises:
        KeyMistake: a key is malformed, or old keys are given without a current one.
    """
    codec = codec_from(environ)
    return dataclasses.replace(DataConverter.default, payload_codec=codec) if codec else DataConverter.default


def codec_from(environ: Mapping[str, str]) -> EncryptingCodec | None:
    """The codec that the environment asks for; None without a key."""
    given, old = environ.get(KEY, "").strip(), environ.get(OLD_KEYS, "").strip()
    if not given:
        if old:
            raise KeyMistake(f"{OLD_KEYS} is set without {KEY}: new payloads would not be encrypted")
        return None
    key = _key(given, KEY)
    key_id = environ.get(KEY_ID, "").strip() or hashlib.sha256(key).hexdigest()[:8]
    keys = {}
    for place, pair in enumerate(filter(None, (each.strip() for each in old.split(","))), start=1):
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise KeyMistake(f"{OLD_KEYS}: entry {place} is not ID=KEY")
        keys[name.strip()] = _key(text.strip(), f"{OLD_KEYS}: entry {place}")
    if keys.get(key_id, key) != key:
        raise KeyMistake(f"{OLD_KEYS} names another key {key_id!r}, the id of {KEY}; every key needs its own")
    return EncryptingCodec({**keys, key_id: key}, key_id)


def _key(text: str, where: str) -> bytes:
    how = "make one with `openssl rand -base64 32`"
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyMistake(f"{where}: expected 32 bytes in base64; this is not base64; {how}") from None
    if len(key) != _LENGTH:
        raise KeyMistake(f"{where}: expected 32 bytes in base64, got {len(key)} bytes; {how}")
    return key
