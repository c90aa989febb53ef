from __future__ import annotations

import base64

import pytest
from starlette.datastructures import Headers

from engine.api.access import token_in


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (basic("key:"), "key"),
        (basic("key"), "key"),
        (basic("key:password"), "key"),
        ("Bearer key", "key"),
        ("bEARER  key ", "key"),
        (basic(":"), None),
        (basic("schlüssel:"), None),
        ("Basic no-base64!", None),
        ("Basic", None),
        ("Digest key", None),
        ("", None),
    ],
)
def test_the_key_is_the_user_name_or_the_bearer_token(header: str, token: str | None) -> None:
    assert token_in(Headers({"authorization": header})) == token


def test_no_header_has_no_key() -> None:
    assert token_in(Headers({})) is None
