"""The envelope in which WeChat, mini-programs and WeCom call us.

    signature  SHA-1, in hex, over the sorted and joined words: token, timestamp, nonce, encrypted text
    cipher     AES-256-CBC, key BASE64DECODE(EncodingAESKey + "="), IV the key's first 16 bytes
    plain      16 random bytes, the length as 4 bytes big-endian, the text, the receiver's id; PKCS#7 to 32

(developer.work.weixin.qq.com/document/path/90968; the same for all three.) Where nothing is encrypted the
signature does not cover the body: only encryption keeps a listener from putting words of his own into it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import AfterValidator, SecretStr

from channels.inbound import Forged

BLOCK = 32


def signature(*words: str) -> str:
    return hashlib.sha1("".join(sorted(words)).encode()).hexdigest()


def check_signature(given: str | None, *words: str) -> None:
    """Raise `Forged` unless `given` is the signature of the words."""
    if not hmac.compare_digest((given or "").encode(), signature(*words).encode()):
        raise Forged("the signature is wrong")


def read_aes_key(text: str) -> bytes:
    """The key of 32 bytes that an EncodingAESKey stands for. The error does not show it."""
    try:
        # The last of the 43 characters has bits to spare, and consoles leave anything in them.
        key = base64.b64decode(text + "=") if len(text) == 43 and text.isascii() and text.isalnum() else b""
    except binascii.Error:
        key = b""
    if len(key) != BLOCK:
        raise ValueError("expected an EncodingAESKey: 43 letters and digits")
    return key


def _checked(key: SecretStr) -> SecretStr:
    read_aes_key(key.get_secret_value())
    return key


AesKey = Annotated[SecretStr, AfterValidator(_checked)]
"""An EncodingAESKey among an adapter's settings."""


def opener(aes_key: str, receiver: str) -> Callable[[str], bytes]:
    """What decrypts messages to `receiver` (an app id, a corp id): `Forged` for any that are not."""
    key = read_aes_key(aes_key)

    def open_(encrypted: str) -> bytes:
        try:
            sealed = base64.b64decode(encrypted, validate=True)
            machine = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
            padded = machine.update(sealed) + machine.finalize()
        except ValueError:
            raise Forged("it is not encrypted by the key") from None
        pad = padded[-1] if padded else 0
        if not 1 <= pad <= BLOCK or padded[-pad:] != bytes([pad]) * pad:
            raise Forged("it is not encrypted by the key")
        plain = padded[16:-pad]
        end = 4 + int.from_bytes(plain[:4], "big")
        if len(plain) < end or plain[end:] != receiver.encode():
            raise Forged("it is encrypted for another receiver")
        return plain[4:end]

    return open_
