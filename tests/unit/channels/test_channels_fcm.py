"""`fcm`: the access token, codes, and what a device shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channels import (
    Accepted,
    Adapter,
    ConfigurationError,
    Message,
    Outcome,
    Reason,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    create,
)
from channels.fcm import CODES
from channels.testing.api import Request, said
from channels.testing.fcm import FakeFcm
from channels.testing.sink import Behaviour
from tests.unit.channels.calls import message


def push(n: int = 0, **changes: Any) -> Message:
    values = {"channel": "push", "address": f"device-{n}", "parts": {"title": "Tea", "body": "It is ready"}}
    return message(n, **{**values, **changes})


@asynccontextmanager
async def fcm(**settings: Any) -> AsyncIterator[tuple[FakeFcm, Adapter]]:
    async with FakeFcm() as fake:
        given = {"service_account": fake.account(), "endpoint": fake.url, "timeout": 1, **settings}
        async with create("fcm", "push", given) as adapter:
            yield fake, adapter


async def test_one_access_token_serves_all_sends() -> None:
    async with fcm() as (fake, adapter):
        await asyncio.gather(*(adapter.send([push(n)]) for n in range(20)))
        await adapter.send([push(20)])
        assert len(fake.messages) == 21
        assert fake.tokens_made == 1


async def test_a_token_that_is_revoked_in_the_middle_is_replaced_once_and_nothing_is_lost() -> None:
    async with fcm() as (fake, adapter):
        await adapter.send([push(0)])
        fake.revoke()
        outcomes = await adapter.send([push(n) for n in range(1, 9)])
        assert [type(o) for o in outcomes] == [Accepted] * 8
        assert fake.tokens_made == 2
        assert sorted(m.key for m in fake.messages) == [f"key-{n}" for n in range(9)]


async def test_a_token_near_its_end_is_not_used() -> None:
    async with fcm() as (fake, adapter):
        fake.life = 200
        await adapter.send([push(0)])
        await adapter.send([push(1)])
        assert fake.tokens_made == 2


async def test_without_a_token_nothing_has_left() -> None:
    async with fcm(timeout=0.3) as (fake, adapter):
        serve = fake.serve

        def slow(request: Request) -> Any:
            if request.path == "/token":
                return said(503, {})
            return serve(request)

        fake.serve = slow  # type: ignore[method-assign]
        [outcome] = await adapter.send([push()])
        assert isinstance(outcome, Unavailable)
        assert "no access token" in outcome.detail


async def test_silence_of_the_token_endpoint_is_not_unknown() -> None:
    async with fcm(timeout=0.3) as (fake, adapter):
        fake.serve = lambda request: Behaviour("hang")  # type: ignore[method-assign]
        [outcome] = await adapter.send([push()])
        assert isinstance(outcome, Unavailable)


async def test_an_account_that_google_does_not_know_is_the_operator_s() -> None:
    async with FakeFcm() as fake:
        account = json.dumps({**json.loads(fake.account()), "client_email": "nobody@example.com"})
        settings = {"service_account": account, "endpoint": fake.url}
        async with create("fcm", "push", settings) as adapter:
            [outcome] = await adapter.send([push()])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CREDENTIALS
    assert "invalid_grant" in outcome.detail


async def test_the_key_may_lie_in_a_file(tmp_path: Path) -> None:
    async with FakeFcm() as fake:
        path = tmp_path / "key.json"
        path.write_text(fake.account())
        settings = {"service_account_file": str(path), "endpoint": fake.url}
        async with create("fcm", "push", settings) as adapter:
            assert isinstance((await adapter.send([push()]))[0], Accepted)
        path.write_text("{}")
        with pytest.raises(ConfigurationError, match=r"push\.settings\.service_account_file.*JSON key"):
            await create("fcm", "push", settings).open()


async def test_a_repeat_replaces_the_first_on_the_device() -> None:
    long = "x" * 200
    async with fcm(ttl=60) as (fake, adapter):
        for key in ("k", "k", long, long):
            await adapter.send([push(key=key)])
        names = [m.key for m in fake.messages]
        android = fake.messages[0].extra["android"]
    assert names[0] == names[1] == "k"
    assert names[2] == names[3]
    assert len(names[2]) == 64
    assert android == {"notification": {"tag": "k"}, "ttl": "60s"}


async def test_an_app_that_was_removed_makes_the_address_dead() -> None:
    async with fcm() as (fake, adapter):
        fake.gone.add("device-0")
        [outcome] = await adapter.send([push()])
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.permanent) == (Reason.ADDRESS_UNKNOWN, True)


@pytest.mark.parametrize(
    ("parts", "reason"), [({"title": "x"}, Reason.CONTENT), ({"body": "茶" * 1400}, Reason.TOO_LARGE)]
)
async def test_what_cannot_be_shown_is_not_sent(parts: dict[str, str], reason: Reason) -> None:
    async with fcm() as (fake, adapter):
        [outcome] = await adapter.send([push(parts=parts)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is reason
        assert not fake.calls


def error(status: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"status": status, "details": [{"errorCode": code}] if code else []}}


ANSWERS: list[tuple[int, Any, Outcome]] = [
    (403, error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Rejected(Reason.ADDRESS_INVALID)),
    (403, error("PERMISSION_DENIED"), Rejected(Reason.CREDENTIALS)),
    (401, error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), Rejected(Reason.CREDENTIALS)),
    (404, error("NOT_FOUND"), Rejected(Reason.CREDENTIALS)),
    (400, error("FAILED_PRECONDITION"), Rejected(Reason.CONTENT)),
    (429, error("RESOURCE_EXHAUSTED"), Throttled()),
    (500, error("INTERNAL", "INTERNAL"), Unavailable()),
    (502, "<html>", Unavailable()),
    (200, "<html>", Unknown()),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
async def test_what_an_answer_means(status: int, document: Any, expected: Outcome) -> None:
    async with fcm() as (fake, adapter):
        serve = fake.serve
        fake.serve = lambda request: (  # type: ignore[method-assign]
            said(status, document) if fake.sends(request) else serve(request)
        )
        [outcome] = await adapter.send([push()])
    assert type(outcome) is type(expected)
    assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "fcm.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []
