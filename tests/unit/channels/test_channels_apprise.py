"""`apprise`: which parts go where, and what can be read from what the library says."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from channels.apprise import AppriseAdapter, _trouble
from channels.testing.api import said
from channels.testing.apprise import FakeAppriseService
from tests.unit.channels.calls import message


@asynccontextmanager
async def service(
    path: str = "/{address}", user: str = "", **settings: Any
) -> AsyncIterator[tuple[FakeAppriseService, Adapter]]:
    async with FakeAppriseService() as fake:
        url = f"json://{user}127.0.0.1:{fake.port}{path}"
        async with create("apprise", "chat", {"url": url, "timeout": 0.5, **settings}) as adapter:
            yield fake, adapter


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"title": "Tea", "body": "ready"}, "Tea\nready"),
        ({"subject": "Tea", "text": "ready", "html": "<p>ready</p>"}, "Tea\nready"),
        ({"text": "a < b & *c* :smile: {{x}} \\n"}, "\na < b & *c* :smile: {{x}} \\n"),
    ],
)
async def test_the_parts_of_any_channel_become_title_and_body(parts: dict[str, str], text: str) -> None:
    async with service() as (fake, adapter):
        [outcome] = await adapter.send([message(channel="chat", address="mei", parts=parts)])
        assert isinstance(outcome, Accepted)
        assert [(m.address, m.text) for m in fake.messages] == [("mei", text)]


async def test_html_alone_goes_out_as_html() -> None:
    async with service() as (fake, adapter):
        await adapter.send([message(address="mei", parts={"html": "<p>tea <b>is</b> ready</p>"})])
        assert fake.messages[0].text == "\n<p>tea <b>is</b> ready</p>"


async def test_an_address_cannot_change_where_the_message_goes() -> None:
    async with service() as (fake, adapter):
        address = "../x?y=1&z@evil.example/#"
        await adapter.send([message(address=address, parts={"body": "x"})])
        assert [m.address for m in fake.messages] == [address]


async def test_without_a_place_for_the_address_all_goes_to_one_place() -> None:
    async with service(path="/team") as (fake, adapter):
        await adapter.send([message(n, parts={"body": "x"}) for n in range(2)])
        assert [m.address for m in fake.messages] == ["team", "team"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parts": {"json": "{}"}}, Reason.CONTENT),
        ({"parts": {"body": "x"}, "address": " "}, Reason.ADDRESS_INVALID),
    ],
)
async def test_what_cannot_be_sent_is_not_sent(changes: dict[str, Any], reason: Reason) -> None:
    async with service() as (fake, adapter):
        [outcome] = await adapter.send([message(**changes)])
        assert isinstance(outcome, Rejected)
        assert outcome.reason is reason
        assert not fake.calls


async def test_a_wrong_password_is_the_operator_s() -> None:
    async with service(user="kairos:wrong@") as (fake, adapter):
        fake.authorization = f"Basic {base64.b64encode(b'kairos:right').decode()}"
        [outcome] = await adapter.send([message(parts={"body": "x"})])
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, Rejected),
        (302, Rejected),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
        (201, Accepted),
    ],
)
async def test_what_a_status_means(status: int, expected: type) -> None:
    async with service() as (fake, adapter):
        fake.serve = lambda request: said(status, {})  # type: ignore[method-assign]
        [outcome] = await adapter.send([message(parts={"body": "x"})])
    assert type(outcome) is expected


LINES: list[tuple[list[str], Outcome]] = [
    ([], Unknown()),
    (["Failed to send."], Unknown()),
    (["Failed: Service Unavailable, error=503.", "Response Details: b''"], Unavailable()),
    (["Failed: error=503.", "later: error=400."], Rejected(Reason.CONTENT)),
    (["Socket Exception: HTTPConnectionPool: Read timed out."], Unknown()),
    (["Socket Exception: Caused by NewConnectionError"], Unavailable()),
]


@pytest.mark.parametrize(("lines", "expected"), LINES)
def test_what_the_library_says_is_read_from_its_end(lines: list[str], expected: Outcome) -> None:
    outcome = _trouble(lines)
    assert type(outcome) is type(expected)
    assert getattr(outcome, "reason", None) == getattr(expected, "reason", None)


async def test_nothing_of_the_library_s_log_reaches_ours(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with service(user="kairos:geheim@") as (fake, adapter):
        fake.trouble("reject")
        await adapter.send([message(n, address="mei", parts={"body": "a private word"}) for n in range(2)])
    with pytest.raises(ConfigurationError):
        create("apprise", "chat", {"url": "nosuch://geheim"})
    out, err = capfd.readouterr()
    for text in (caplog.text, out, err):
        assert not any(word in text for word in ("geheim", "a private word", "mei"))


async def test_a_send_that_has_no_end_is_given_up() -> None:
    def forever(message: Message) -> Accepted:
        time.sleep(0.5)
        return Accepted()

    async with service(timeout=0.05) as (_, adapter):
        assert isinstance(adapter, AppriseAdapter)
        adapter._notify = forever  # type: ignore[method-assign]
        [outcome] = await adapter.send([message(parts={"body": "x"})])
    assert isinstance(outcome, Unknown)


async def test_an_address_that_the_service_cannot_take_is_rejected() -> None:
    url = "tgram://123456789:abcdefg_hijklmnop/{address}"
    async with create("apprise", "telegram", {"url": url, "timeout": 0.2}) as adapter:
        bad = message(address="!", parts={"body": "x"})
        [outcome] = await adapter.send([bad])
    assert isinstance(outcome, Rejected | Unknown)
    assert "!" not in str(outcome)
