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
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

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


class HttpClient:
    """One pool of connections. Opens at the first request; `close` may be called twice."""

    def __init__(self, *, timeout: float = 10.0, connect_timeout: float = 5.0, connections: int = 50) -> None:
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._connections = connections
        self._client: httpx.AsyncClient | None = None

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(
                max_connections=self._connections,
                max_keepalive_connections=self._connections,
                # Shorter than the usual 5 s of servers that close idle connections, so that a reused one is
                # rarely found dead just after the request has left.
                keepalive_expiry=4.0,
            )
            self._client = httpx.AsyncClient(
                limits=limits, follow_redirects=False, headers={"user-agent": "kairos"}
            )
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - not only a deadline: its phase decides
        body_limit: int = BODY_LIMIT,
    ) -> Answer:
        """Make one call and return the answer, whatever its status. `timeout` (seconds) bounds all of it.

        Raises `Unavailable`, `Unknown`, or `Rejected` for an address that is no http(s) URL.
        """
        left = False

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal left
            left = left or event.endswith("send_request_headers.started")

        seconds = self._timeout if timeout is None else timeout
        client = self._open()
        try:
            request = client.build_request(
                method,
                url,
                # No compression: a small answer must not unpack into a large one.
                headers={**(headers or {}), "accept-encoding": "identity"},
                content=content,
                timeout=httpx.Timeout(seconds, connect=min(seconds, self._connect_timeout)),
                extensions={"trace": trace},
            )
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise Rejected(Reason.ADDRESS_INVALID, f"not a usable URL: {type(error).__name__}") from None

        response: httpx.Response | None = None
        body, cut = bytearray(), False
        try:
            async with asyncio.timeout(seconds):
                response = await client.send(request, stream=True)
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > body_limit:
                        cut = True
                        break
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise Rejected(Reason.ADDRESS_INVALID, f"not a usable URL: {type(error).__name__}") from None
        except (httpx.TransportError, TimeoutError) as error:
            if response is None:
                kind = type(error).__name__
                if left:
                    raise Unknown(f"{kind} after the request had left") from None
                raise Unavailable(f"{kind} before the request had left") from None
            cut = True
        finally:
            if response is not None:
                await response.aclose()
        return Answer(response.status_code, response.headers, bytes(body[:body_limit]), cut)

    async def request(
        self,
        method: str,
        url: str,
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
