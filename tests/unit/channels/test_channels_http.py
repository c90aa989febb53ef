"""Every way an HTTP call can end, against real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from channels import Answer, HttpClient, Rejected, Throttled, Unavailable, Unknown
from channels.http import failure, retry_after
from channels.receipt import Reason
from channels.testing.sink import FakeHttpSink

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(session, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@asynccontextmanager
async def client(timeout: float = 0.5) -> AsyncIterator[HttpClient]:  # noqa: ASYNC109
    http = HttpClient(timeout=timeout)
    try:
        yield http
    finally:
        await http.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", timedelta(seconds=120)),
        (" 0 ", timedelta(0)),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), timedelta(seconds=90)),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), timedelta(0)),
        ("Mon, 23 Nov 2026 07:00:30 -0000", timedelta(seconds=30)),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: timedelta | None) -> None:
    assert retry_after(value, NOW) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (204, None),
        (299, None),
        (301, Rejected),
        (400, Rejected),
        (401, Rejected),
        (404, Rejected),
        (408, Unavailable),
        (410, Rejected),
        (425, Unavailable),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
        (599, Unavailable),
    ],
)
def test_what_a_status_means(status: int, expected: type | None) -> None:
    found = failure(Answer(status, {}, b"{}"))
    assert (None if found is None else type(found)) is expected


def test_a_status_listed_as_uncertain_is_unknown() -> None:
    assert isinstance(failure(Answer(504, {}, b""), uncertain={504}), Unknown)


def test_only_410_says_that_the_address_is_dead() -> None:
    gone, missing = failure(Answer(410, {}, b"")), failure(Answer(404, {}, b""))
    assert isinstance(gone, Rejected)
    assert gone.permanent
    assert isinstance(missing, Rejected)
    assert not missing.permanent


async def test_pauses_are_read_from_429_and_503() -> None:
    async with FakeHttpSink() as sink, client() as http:
        with pytest.raises(Throttled) as throttled:
            await http.request("POST", f"{sink.url}/throttle?retry_after=7", content=b"{}")
        assert throttled.value.retry_after == timedelta(seconds=7)
        with pytest.raises(Unavailable) as busy:
            await http.request("POST", f"{sink.url}/fail?status=503&retry_after=9", content=b"{}")
        assert busy.value.retry_after == timedelta(seconds=9)


async def test_connections_are_reused() -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with scripted(script) as url, client() as http:
        for _ in range(5):
            assert (await http.request("GET", url)).json() == {}
        assert connections == 1


async def test_a_refused_connection_and_an_unknown_host_are_unavailable() -> None:
    async with FakeHttpSink() as sink:
        url = sink.url
    async with client() as http:
        with pytest.raises(Unavailable, match="before the request had left"):
            await http.request("POST", url, content=b"x")
        with pytest.raises(Unavailable):
            await http.request("POST", "http://no-such-host.invalid/", content=b"x", timeout=3)


async def test_a_tls_handshake_that_never_ends_is_unavailable() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with scripted(script) as url, client(0.3) as http:
        with pytest.raises(Unavailable):
            await http.request("POST", url.replace("http:", "https:"), content=b"x")


async def test_silence_a_cut_and_nonsense_after_the_request_are_unknown() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 this is a mail server\r\n\r\n")
        await writer.drain()

    async with FakeHttpSink() as sink, client(0.3) as http, scripted(nonsense) as odd:
        for url in (f"{sink.url}/hang", f"{sink.url}/drop", f"{sink.url}/drop_unread", odd):
            with pytest.raises(Unknown, match="after the request had left"):
                await http.request("POST", url, content=b"{}")


async def test_a_server_that_stops_reading_is_unknown_within_the_time_out() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with scripted(script) as url, client(0.3) as http:
        with pytest.raises(Unknown):
            await http.request("POST", url, content=b"x" * 30_000_000)


async def test_an_answer_that_drips_is_bounded_as_a_whole_and_its_status_counts() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with scripted(script) as url, client(0.4) as http:
        start = asyncio.get_running_loop().time()
        answer = await http.request("GET", url)
        assert asyncio.get_running_loop().time() - start < 1
        assert (answer.status, answer.cut, answer.json()) == (200, True, None)


async def test_a_header_that_drips_is_bounded_too() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for n in range(100):
            writer.write(f"x-{n}: y\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)

    async with scripted(script) as url, client(0.3) as http:
        with pytest.raises(Unknown):
            await http.request("GET", url)


async def test_a_huge_answer_is_cut_at_the_limit() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _ in range(50):
            writer.write(b"x" * 1_000_000)
            await writer.drain()

    async with scripted(script) as url, client(5) as http:
        answer = await http.request("GET", url, body_limit=1000)
        assert (len(answer.body), answer.cut) == (1000, True)


async def test_redirects_are_not_followed() -> None:
    async with FakeHttpSink() as sink, client() as http:
        with pytest.raises(Rejected, match="redirects are not followed"):
            await http.request("POST", f"{sink.url}/fail?status=307", content=b"{}")
        assert sink.ledger.requests == 1


@pytest.mark.parametrize("url", ["nowhere", "ftp://example.com", "http://", "http://[::1"])
async def test_what_is_no_url_is_rejected(url: str) -> None:
    async with client() as http:
        with pytest.raises(Rejected) as caught:
            await http.request("POST", url, content=b"{}")
        assert caught.value.reason is Reason.ADDRESS_INVALID
