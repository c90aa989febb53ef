"""HTTP for adapters: one client, and every way a call can end told apart.

What counts is whether the request had begun to leave when things went wrong:

| what happened | outcome |
|---|---|
| no connection, or time ran out before the first byte left | `Unavailable` |
| time ran out, connection lost or nonsense heard after that | `Unknown` |
| 2xx | the answer |
| 429 | `Throttled`, with `Retry-After` in seconds or as a date |
| 408, 425, 5xx | `Unavailable`, with `Retry-After` where given |
| 3xx | `Rejected`: redirects are not followed, they would carry the message elsewhere |
| other 4xx | `Rejected` |

A 5xx is an answer, and by convention it says that the message was not taken. Where a provider is known to
answer so although it took the message, list the status in `uncertain`: it is then `Unknown`.
Once a status has been read it decides, even if the body breaks off after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Annotated, Any

import aiohttp
import aiohttp.abc
from pydantic import AfterValidator
from yarl import URL

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.receipt import Reason

BODY_LIMIT = 64 * 1024
RAW_LIMIT = 2048

_REASONS = {
    400: Reason.CONTENT,
    401: Reason.CREDENTIALS,
    403: Reason.CREDENTIALS,
    404: Reason.ADDRESS_UNKNOWN,
    410: Reason.ADDRESS_UNKNOWN,
    413: Reason.TOO_LARGE,
    422: Reason.CONTENT,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. `body` ends at the limit, or where the connection broke: then `cut` is true."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    cut: bool = False

    def json(self) -> Any:
        """The body as JSON, or None if it is none."""
        if self.cut:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def raw(self) -> str:
        """The provider's own words for the record, at most 2 KB."""
        return f"HTTP {self.status} {self.body[:RAW_LIMIT].decode('utf-8', 'replace')}"


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read a `Retry-After` header (RFC 9110 §10.2.3): seconds or a date. None if absent or malformed."""
    if value is None:
        return None
    value = value.strip()
    try:
        if value.isascii() and value.isdigit():
            return timedelta(seconds=int(value))
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:  # "-0000": UTC, without saying so
            moment = moment.replace(tzinfo=UTC)
        return max(timedelta(0), moment - now)
    except (ValueError, OverflowError):
        return None


def failure(
    answer: Answer, uncertain: Collection[int] = ()
) -> Rejected | Throttled | Unavailable | Unknown | None:
    """What a status means, by the table above; None for 2xx."""
    status, raw = answer.status, answer.raw
    detail = f"HTTP {status}"
    pause = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
    if 200 <= status < 300:
        return None
    if status in uncertain:
        return Unknown(detail, raw=raw)
    if status == 429:
        return Throttled(pause, detail, raw=raw)
    if status in (408, 425) or status >= 500:
        return Unavailable(detail, pause, raw=raw)
    if 300 <= status < 400:
        return Rejected(Reason.OTHER, f"{detail}: redirects are not followed", raw=raw)
    return Rejected(_REASONS.get(status, Reason.OTHER), detail, permanent=status == 410, raw=raw)


def _address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("expected an address that begins with https:// or http://")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_address)]
"""The address of an interface among an adapter's settings."""


class _Sent:
    """Whether a request has begun to leave."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = False


async def _has_left(session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
    context.trace_request_ctx.left = True


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
# Older Pythons take these for addresses of the internet.
_SPECIAL = (
    ipaddress.ip_network("192.0.0.0/24"),  # RFC 6890; clouds keep their metadata there
    ipaddress.ip_network("64:ff9b:1::/48"),  # RFC 8215: translated by a network for itself
    ipaddress.ip_network("::/96"),  # RFC 4291 §2.5.5.1: the older internet in disguise
    ipaddress.ip_network("::ffff:0:0:0/96"),  # RFC 2765, the same
)


class _Private(Exception):
    """The address is not one of the internet."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet: not of a private network, this machine, or a group."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if any(found in network for network in _SPECIAL):
        return False
    return (
        found.is_global and not found.is_multicast and all(is_public(str(inner)) for inner in _inside(found))
    )


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The addresses of the older internet that stand inside one of the newer, and are reached by it."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


class _PublicResolver(aiohttp.ThreadedResolver):
    """Finds addresses of the internet only. Asked at the connection itself, so that a name that leads
    elsewhere a moment later leads nowhere."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await super().resolve(host, port, family)
        usable = [each for each in found if is_public(each["host"])]
        if not usable:
            raise _Private
        return usable


def _refuse_private(url: str | URL) -> None:
    """For hosts that are addresses themselves: those are never looked up.

    Read as they will be called: `１２７.0.0.1` is 127.0.0.1 by then.
    """
    host = (url if isinstance(url, URL) else URL(url)).raw_host or ""
    with contextlib.suppress(ValueError):
        if not is_public(host):
            raise _Private


class HttpClient:
    """One pool of connections. Opens at the first request; `close` may be called twice.

    `public`: it calls the internet only, no private network and not this machine.

    aiohttp, not httpx: against a sink on the same machine it makes several times as many calls for the same
    processor time (`docs/performance.md`).
    """

    def __init__(
        self,
        *,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        connections: int = 50,
        public: bool = False,
    ) -> None:
        self._public = public
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        # Taken before the time-out begins: waiting for a free connection is no fault of the server's.
        self._free = asyncio.Semaphore(connections)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            watch = aiohttp.TraceConfig()
            watch.on_request_headers_sent.append(_has_left)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    resolver=_PublicResolver() if self._public else None,
                    # Shorter than the usual 5 s of servers that close idle connections, so that a reused one
                    # is rarely found dead just after the request has left.
                    keepalive_timeout=4.0,
                ),
                headers={"user-agent": "kairos"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trace_configs=[watch],
            )
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(
        self,
        method: str,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - not only a deadline: its phase decides
        body_limit: int = BODY_LIMIT,
    ) -> Answer:
        """Make one call and return the answer, whatever its status.

        `timeout` (seconds) bounds all of it but the wait for a free connection. A URL goes out as it is
        spelled if it is a `URL(…, encoded=True)`; a string may be spelled anew.

        Raises `Unavailable`, `Unknown`, or `Rejected` for an address that is no http(s) URL.
        """
        async with self._free:
            return await self._exchange(method, url, headers or {}, content, timeout, body_limit)

    async def _exchange(
        self,
        method: str,
        url: str | URL,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout: float | None,  # noqa: ASYNC109
        body_limit: int,
    ) -> Answer:
        sent = _Sent()
        seconds = self._timeout if timeout is None else timeout
        response: aiohttp.ClientResponse | None = None
        body, cut = bytearray(), False
        try:
            if self._public:
                _refuse_private(url)
            async with asyncio.timeout(seconds):
                response = await self._open().request(
                    method,
                    url,
                    # No compression: a small answer must not unpack into a large one.
                    headers={**headers, "accept-encoding": "identity"},
                    data=content,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=min(seconds, self._connect_timeout)
                    ),
                    trace_request_ctx=sent,
                )
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > body_limit:
                        cut = True
                        break
        except _Private:
            raise Rejected(
                Reason.ADDRESS_INVALID, "the address is of a private network or this machine"
            ) from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError, TypeError) as error:
            raise Rejected(Reason.ADDRESS_INVALID, f"not a usable URL: {type(error).__name__}") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if response is None:
                kind = type(error).__name__
                if sent.left:
                    raise Unknown(f"{kind} after the request had left") from None
                raise Unavailable(f"{kind} before the request had left") from None
            cut = True
        finally:
            if response is not None:
                # What was not read to its end must not be taken for the answer to the next request.
                response.close() if cut else response.release()
        return Answer(response.status, response.headers, bytes(body[:body_limit]), cut)

    async def request(
        self,
        method: str,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - not only a deadline: its phase decides
        body_limit: int = BODY_LIMIT,
        uncertain: Collection[int] = (),
    ) -> Answer:
        """As `exchange`, but every status other than 2xx is raised as `failure` reads it."""
        answer = await self.exchange(
            method, url, headers=headers, content=content, timeout=timeout, body_limit=body_limit
        )
        trouble = failure(answer, uncertain)
        if trouble is not None:
            raise trouble
        return answer
