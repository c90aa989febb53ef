"""`apns`: provider tokens, reasons, and connections that are shared."""

from __future__ import annotations

import asyncio
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
from channels.apns import CODES, HOSTS, ApnsAdapter
from channels.testing.apns import FakeApns
from tests.unit.channels.calls import message


def push(n: int = 0, **changes: Any) -> Message:
    values = {"channel": "push", "address": f"{n:064x}", "parts": {"title": "Tea", "body": "It is ready"}}
    return message(n, **{**values, **changes})


@asynccontextmanager
async def apns(**settings: Any) -> AsyncIterator[tuple[FakeApns, Adapter]]:
    async with FakeApns() as fake:
        given = {
            "team_id": fake.team_id,
            "key_id": fake.key_id,
            "key": fake.key(),
            "topic": fake.topic,
            "endpoint": fake.url,
            "timeout": 1,
            **settings,
        }
        given = {name: value for name, value in given.items() if value is not None}
        async with create("apns", "push", given) as adapter:
            yield fake, adapter


async def test_many_calls_share_one_connection_and_one_token() -> None:
    async with apns(connections=1) as (fake, adapter):
        outcomes = await adapter.send([push(n) for n in range(150)])
        assert all(isinstance(o, Accepted) for o in outcomes)
        assert len(fake.messages) == 150
        assert fake.connections == 1
        assert len(fake.tokens_seen) == 1


async def test_a_token_that_apple_finds_too_old_is_replaced_and_nothing_is_lost() -> None:
    async with apns() as (fake, adapter):
        await adapter.send([push(0)])
        fake.expired |= fake.tokens_seen
        outcomes = await adapter.send([push(n) for n in range(1, 9)])
        assert [type(o) for o in outcomes] == [Accepted] * 8
        assert len(fake.tokens_seen) == 2
        assert sorted(m.key for m in fake.messages) == [f"key-{n}" for n in range(9)]


async def test_a_new_token_that_is_too_old_as_well_ends_there() -> None:
    async with apns() as (fake, adapter):
        await adapter.send([push(0)])
        fake.oldest = -1
        [outcome] = await adapter.send([push(1)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CREDENTIALS
        assert fake.requests == 3


async def test_a_key_of_somebody_else_is_the_operator_s() -> None:
    async with apns(key=FakeApns().key()) as (fake, adapter):
        [outcome] = await adapter.send([push()])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CREDENTIALS
    assert fake.messages == []


async def test_a_message_has_the_same_name_on_every_attempt_and_replaces_the_first() -> None:
    async with apns(ttl=0, sound="") as (fake, adapter):
        first, second = [(await adapter.send([push(key="k")]))[0] for _ in range(2)]
        one, two = fake.messages
    assert first == second
    assert isinstance(first, Accepted)
    assert one.id == two.id == first.provider_id
    assert one.key == two.key == "k"
    assert one.extra["apns-expiration"] == "0"
    assert one.text == "Tea\nIt is ready"


async def test_an_app_that_was_removed_makes_the_address_dead() -> None:
    async with apns() as (fake, adapter):
        fake.gone.add(f"{0:064x}")
        [outcome] = await adapter.send([push()])
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.permanent) == (Reason.ADDRESS_UNKNOWN, True)


async def test_what_is_no_device_token_is_not_put_into_an_address() -> None:
    async with apns() as (fake, adapter):
        [outcome] = await adapter.send([push(address="../../3/device/x")])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.ADDRESS_INVALID
        assert fake.requests == 0


@pytest.mark.parametrize(
    ("parts", "reason"), [({"title": "x"}, Reason.CONTENT), ({"body": "茶" * 1400}, Reason.TOO_LARGE)]
)
async def test_what_cannot_be_shown_is_not_sent(parts: dict[str, str], reason: Reason) -> None:
    async with apns() as (fake, adapter):
        [outcome] = await adapter.send([push(parts=parts)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is reason
        assert fake.requests == 0


REASONS: list[tuple[int, str, Outcome]] = [
    (400, "BadDeviceToken", Rejected(Reason.ADDRESS_INVALID)),
    (410, "ExpiredToken", Rejected(Reason.ADDRESS_UNKNOWN)),
    (403, "InvalidProviderToken", Rejected(Reason.CREDENTIALS)),
    (400, "SomethingNew", Rejected(Reason.CONTENT)),
    (429, "TooManyProviderTokenUpdates", Throttled()),
    (500, "InternalServerError", Unavailable()),
    (503, "Shutdown", Unavailable()),
]


@pytest.mark.parametrize(("status", "reason", "expected"), REASONS)
async def test_what_a_reason_means(status: int, reason: str, expected: Outcome) -> None:
    async with apns() as (fake, adapter):
        fake.take = lambda headers, body: (status, reason, None)  # type: ignore[method-assign]
        [outcome] = await adapter.send([push()])
    assert type(outcome) is type(expected)
    assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)


async def test_one_lost_answer_does_not_touch_the_calls_beside_it() -> None:
    async with apns(connections=1, timeout=0.5) as (fake, adapter):
        await adapter.send([push(0)])
        fake.trouble("hang")
        outcomes = await adapter.send([push(n) for n in range(1, 6)])
    assert sorted(type(o).__name__ for o in outcomes) == ["Accepted"] * 4 + ["Unknown"]


async def test_a_connection_that_was_cut_while_idle_is_replaced() -> None:
    async with apns(connections=1) as (fake, adapter):
        await adapter.send([push(0)])
        for transport in list(fake.open):
            transport.abort()
        await asyncio.sleep(0.05)
        [outcome] = await adapter.send([push(1)])
        assert isinstance(outcome, Accepted | Unknown)
        assert isinstance((await adapter.send([push(2)]))[0], Accepted)
        assert fake.connections == 2


async def test_the_key_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "AuthKey.p8"
    path.write_text("")
    async with FakeApns() as fake:
        path.write_text(fake.key())
        settings = {
            "team_id": fake.team_id,
            "key_id": fake.key_id,
            "key_file": str(path),
            "topic": fake.topic,
            "endpoint": fake.url,
        }
        async with create("apns", "push", settings) as adapter:
            assert isinstance((await adapter.send([push()]))[0], Accepted)
        path.write_text("nothing")
        with pytest.raises(ConfigurationError, match=r"push\.settings\.key_file: expected a private key"):
            await create("apns", "push", settings).open()


def test_the_environment_chooses_the_server() -> None:
    settings = {"team_id": "A" * 10, "key_id": "B" * 10, "key": FakeApns().key(), "topic": "t"}
    for environment, host in HOSTS.items():
        adapter = create("apns", "push", {**settings, "environment": environment})
        assert isinstance(adapter, ApnsAdapter)
        assert adapter._url == host


def test_the_page_lists_every_reason() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "apns.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []
