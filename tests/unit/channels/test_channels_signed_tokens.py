"""JSON Web Tokens and the cache that makes one at a time."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels import Unavailable
from channels.signed_tokens import TokenCache, jwt, signing_key

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_key_of_either_kind_signs_a_token_that_its_public_half_verifies() -> None:
    for _ in range(20):  # an ES256 number that begins with a zero keeps its 32 bytes
        head, claims, signature = jwt(P256, {"iss": "茶"}, kid="k").split(".")
        raw = decoded(signature)
        assert len(raw) == 64
        pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        P256.public_key().verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
    assert json.loads(decoded(head)) == {"alg": "ES256", "typ": "JWT", "kid": "k"}
    assert json.loads(decoded(claims)) == {"iss": "茶"}
    head, claims, signature = jwt(RSA, {}).split(".")
    RSA.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    assert json.loads(decoded(head))["alg"] == "RS256"


def test_a_key_may_come_on_one_line() -> None:
    assert isinstance(signing_key(pem(P256).replace("\n", "\\n")), ec.EllipticCurvePrivateKey)


@pytest.mark.parametrize("text", ["", "secret words", pem(ec.generate_private_key(ec.SECP384R1()))])
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="expected a private key") as caught:
        signing_key(text)
    assert not text or text not in str(caught.value)


async def test_all_who_wait_get_the_one_token_that_is_made() -> None:
    made = 0

    async def make() -> tuple[str, float]:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        return f"t{made}", 100

    now = [0.0]
    cache = TokenCache(make, clock=lambda: now[0])
    assert set(await asyncio.gather(*(cache.get() for _ in range(9)))) == {"t1"}
    now[0] = 99
    assert await cache.get() == "t1"
    now[0] = 100
    assert await cache.get() == "t2"


async def test_a_refused_token_is_replaced_and_a_late_refusal_does_not_cost_the_new_one() -> None:
    tokens = iter(["t1", "t2", "t3"])

    async def make() -> tuple[str, float]:
        return next(tokens), 100

    cache = TokenCache(make)
    first = await cache.get()
    cache.refuse(first)
    assert await cache.get() == "t2"
    cache.refuse(first)
    assert await cache.get() == "t2"
    assert "t2" not in repr(cache)


async def test_a_token_that_could_not_be_made_is_tried_for_again() -> None:
    answers: list[tuple[str, float] | Unavailable] = [Unavailable("down"), ("t", 1)]

    async def make() -> tuple[str, float]:
        answer = answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    cache = TokenCache(make)
    with pytest.raises(Unavailable):
        await cache.get()
    assert await cache.get() == "t"


async def test_all_who_wait_get_the_one_failure() -> None:
    made = 0

    async def make() -> tuple[str, float]:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        raise Unavailable("down")

    cache = TokenCache(make)
    found = await asyncio.gather(*(cache.get() for _ in range(9)), return_exceptions=True)
    assert [type(each) for each in found] == [Unavailable] * 9
    assert made == 1


async def test_one_who_gives_up_does_not_take_the_token_from_the_others() -> None:
    async def make() -> tuple[str, float]:
        await asyncio.sleep(0.02)
        return "t", 1

    cache = TokenCache(make)
    impatient, patient = asyncio.create_task(cache.get()), asyncio.create_task(cache.get())
    await asyncio.sleep(0.005)
    impatient.cancel()
    assert await patient == "t"
    assert impatient.cancelled()
