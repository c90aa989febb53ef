"""`jpush`: one device or many, codes, sizes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from channels import (
    Accepted,
    Adapter,
    Message,
    Outcome,
    Reason,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
    create,
)
from channels.http import Answer
from channels.jpush import CODES, _trouble
from channels.testing.api import said
from channels.testing.jpush import MARK, FakeJpush
from tests.unit.channels.calls import message


def push(n: int = 0, **changes: Any) -> Message:
    values = {"channel": "push", "address": f"{MARK}{n}", "parts": {"title": "茶", "body": "It is ready"}}
    return message(n, **{**values, **changes})


@asynccontextmanager
async def jpush(**settings: Any) -> AsyncIterator[tuple[FakeJpush, Adapter]]:
    async with FakeJpush("app", "secret") as fake:
        given = {
            "app_key": "app",
            "master_secret": "secret",
            "endpoint": fake.url,
            "timeout": 0.5,
            **settings,
        }
        async with create("jpush", "push", given) as adapter:
            yield fake, adapter


async def test_one_device_a_call_carries_a_name_under_which_a_repeat_replaces_it() -> None:
    async with jpush(ttl=60, environment="sandbox") as (fake, adapter):
        outcomes = await adapter.send([push(n) for n in range(3)])
        assert len(fake.calls) == 3
        assert sorted(m.key for m in fake.messages) == ["key-0", "key-1", "key-2"]
        options = fake.messages[0].extra
    assert all(isinstance(o, Accepted) and o.provider_id for o in outcomes)
    assert options["apns_production"] is False
    assert options["time_to_live"] == 60


async def test_equal_texts_go_out_together_where_that_is_wanted() -> None:
    async with jpush(batch=4) as (fake, adapter):
        messages = [
            *(push(n) for n in range(6)),
            push(6, parts={"body": "other"}),
            push(7, parts={"title": "x"}),
        ]
        outcomes = await adapter.send(messages)
        sizes = sorted(len(json.loads(c.body)["audience"]["registration_id"]) for c in fake.calls)
    assert sizes == [1, 2, 4]
    assert [type(o) for o in outcomes] == [*[Accepted] * 7, Rejected]
    assert len(fake.messages) == 7


async def test_a_device_that_comes_twice_in_a_call_gets_one_notification() -> None:
    async with jpush(batch=4) as (fake, adapter):
        outcomes = await adapter.send([push(0), push(1, address=f"{MARK}0")])
        assert [type(o) for o in outcomes] == [Accepted, Accepted]
        assert len(fake.messages) == 1


async def test_an_app_that_was_removed_is_an_unknown_address() -> None:
    async with jpush() as (fake, adapter):
        fake.gone.add(f"{MARK}0")
        [outcome] = await adapter.send([push()])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.ADDRESS_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parts": {"title": "x"}}, Reason.CONTENT),
        ({"parts": {"body": "茶" * 700}}, Reason.TOO_LARGE),
        ({"address": " "}, Reason.ADDRESS_INVALID),
    ],
)
async def test_what_cannot_be_shown_is_not_sent(changes: dict[str, Any], reason: Reason) -> None:
    async with jpush() as (fake, adapter):
        [outcome] = await adapter.send([push(**changes)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is reason
        assert not fake.calls


async def test_a_wrong_secret_is_the_operator_s() -> None:
    async with jpush(master_secret="other") as (_, adapter):
        [outcome] = await adapter.send([push()])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CREDENTIALS


def error(code: int) -> dict[str, Any]:
    return {"error": {"code": code, "message": "m"}}


ANSWERS: list[tuple[int, Any, Outcome]] = [
    (400, error(1003), Rejected(Reason.ADDRESS_INVALID, permanent=True)),
    (400, error(1005), Rejected(Reason.TOO_LARGE)),
    (403, error(2004), Rejected(Reason.CREDENTIALS)),
    (403, error(2005), Rejected(Reason.QUOTA)),
    (400, error(4321), Rejected(Reason.CONTENT)),
    (500, error(1000), Unavailable()),
    (502, "<html>", Unavailable()),
    (200, "<html>", Unknown()),
    (200, {}, Unknown()),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
async def test_what_an_answer_means(status: int, document: Any, expected: Outcome) -> None:
    async with jpush() as (fake, adapter):
        fake.serve = lambda request: said(status, document)  # type: ignore[method-assign]
        [outcome] = await adapter.send([push()])
    assert type(outcome) is type(expected)
    for name in ("reason", "permanent"):
        assert getattr(outcome, name, None) == getattr(expected, name, None)


async def test_a_bad_device_among_many_condemns_none() -> None:
    async with jpush(batch=4) as (fake, adapter):
        fake.serve = lambda request: said(400, error(1003))  # type: ignore[method-assign]
        outcomes = await adapter.send([push(n) for n in range(2)])
    assert [o.permanent for o in outcomes if isinstance(o, Rejected)] == [False, False]


@pytest.mark.parametrize(("reset", "seconds"), [("7", 7), ("", 60), ("soon", 60)])
def test_the_pause_is_what_the_rate_limit_says(reset: str, seconds: int) -> None:
    outcome = _trouble(Answer(429, {"x-rate-limit-reset": reset}, b"{}"), error(2002), 1)
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == timedelta(seconds=seconds)


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "jpush.md").read_text("utf-8")
    assert [code for code in CODES if code not in page] == []
