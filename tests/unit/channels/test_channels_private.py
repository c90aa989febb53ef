"""Calls that reach the internet only: no private network, not this machine."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from channels.errors import Rejected, Unavailable
from channels.http import HttpClient, is_public
from channels.receipt import Reason
from channels.testing.sink import FakeHttpSink
from channels.webhook import WebhookCaller


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.100.100.200",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2001:0:0a00:1::",
    ],
)
def test_an_address_that_is_not_of_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
    ],
)
async def test_this_machine_is_not_reached_however_it_is_spelled(host: str) -> None:
    async with FakeHttpSink() as sink:
        caller = WebhookCaller(public=True)
        with pytest.raises((Rejected, Unavailable)) as caught:
            await caller.call(f"http://{host}:{sink.port}/hook", "POST", {}, "k", timeout=3)
        await caller.close()
        assert sink.ledger.requests == 0
    if isinstance(caught.value, Rejected):
        assert caught.value.reason is Reason.ADDRESS_INVALID


def _answers(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Has each look-up of a name answered by the next of these addresses."""
    asked: list[str] = []
    left = list(answers)

    async def look_up(_: object, host: str, port: int, **__: Any) -> list[Any]:
        asked.append(host)
        address = left.pop(0)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.8", "::1", "::ffff:10.0.0.8"])
async def test_a_name_that_leads_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    _answers(monkeypatch, address)
    client = HttpClient(public=True)
    with pytest.raises(Rejected, match="private network"):
        await client.exchange("GET", "http://harmless.example/latest/meta-data")
    await client.close()


async def test_a_name_is_looked_up_once_and_its_answer_is_the_address_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second look-up, after the check, could lead elsewhere."""
    async with FakeHttpSink() as sink:
        asked = _answers(monkeypatch, "8.8.8.8", "127.0.0.1")
        client = HttpClient(public=True, connect_timeout=0.2)
        with pytest.raises(Unavailable):
            await client.exchange("GET", f"http://rebinds.example:{sink.port}/", timeout=0.5)
        assert asked == ["rebinds.example"]
        with pytest.raises((Rejected, Unavailable)):
            await client.exchange("GET", f"http://rebinds.example:{sink.port}/", timeout=0.5)
        await client.close()
        assert sink.ledger.requests == 0


async def test_redirects_into_the_private_network_are_not_followed() -> None:
    async with FakeHttpSink() as inside, FakeHttpSink() as outside:
        client = HttpClient()
        outside.behave("fail", status=302)
        with pytest.raises(Rejected, match="redirects are not followed"):
            await client.request("GET", f"{outside.url}/?to={inside.url}")
        await client.close()
        assert inside.ledger.requests == 0
