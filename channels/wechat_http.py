"""Calls to WeChat and WeCom: an access token in the address, JSON both ways, `errcode` in the answer.

Their HTTP status is 200 whatever happens; `errcode` decides, by the table of each adapter. A token that is
refused is replaced and the call made once more, for a refused call did nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import Answer, HttpClient, failure
from channels.receipt import Reason
from channels.tokens import Fetch, Fetched, Tokens

FORCE_EVERY = 3600.0
Codes = Mapping[int, Rejected | Throttled | Unavailable]
"""What an `errcode` means. A code that is not there is a rejection, `other`."""

TOKEN_CODES: Codes = {
    -1: Unavailable(),
    45009: Throttled(timedelta(hours=1)),
    45011: Throttled(timedelta(minutes=1)),
}
"""While a token is asked for everything else is a matter of credentials."""


class TokenHttp:
    """Posts documents with the app's access token. `refusals` are the codes that mean: not this token."""

    def __init__(
        self, url: str, http: HttpClient, tokens: Tokens, codes: Codes, refusals: Collection[int]
    ) -> None:
        self._url, self._http, self._tokens = url, http, tokens
        self._codes, self._refusals = codes, refusals

    async def post(
        self,
        path: str,
        document: Mapping[str, Any],
        *,
        seconds: float | None = None,
        fine: Collection[int] = (),
    ) -> tuple[dict[str, Any], str]:
        """The provider's answer if it is a yes, and its own words. Raises what `errcode` means.

        `seconds`: the time-out, if not the client's. `fine`: codes that are as good as a yes.
        """
        for _ in range(2):
            token = await self._tokens.get()
            answer = await self._http.exchange(
                "POST",
                f"{self._url}{path}?{urlencode({'access_token': token})}",
                headers={"content-type": "application/json"},
                content=compact(document),
                timeout=seconds,
            )
            found = _read(answer)
            code = found.get("errcode", 0)
            if code == 0 or code in fine:
                return found, answer.raw
            if code not in self._refusals:
                raise meaning(self._codes, code, answer.raw)
            await self._tokens.refuse(token)
        raise Unavailable("the access token is refused", raw=answer.raw)


def meaning(codes: Codes, code: object, raw: str) -> Rejected | Throttled | Unavailable:
    found = codes.get(code) if isinstance(code, int) else None
    return replace(Rejected(Reason.OTHER) if found is None else found, detail=f"errcode {code}", raw=raw)


def compact(document: Mapping[str, Any]) -> bytes:
    # As UTF-8: WeChat shows people the escapes of JSON as they stand.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _read(answer: Answer) -> dict[str, Any]:
    trouble = failure(answer)
    if trouble is not None:
        raise trouble
    found = answer.json()
    if not isinstance(found, dict):
        raise Unknown("the answer is no JSON object", raw=answer.raw)
    return found


async def fetch_token(
    http: HttpClient, method: str, url: str, body: Mapping[str, Any] | None = None
) -> Fetched:
    """Ask for a token. The answer of a token's address is a secret: `raw` is not kept."""
    answer = await http.exchange(
        method,
        url,
        headers={} if body is None else {"content-type": "application/json"},
        content=None if body is None else compact(body),
    )
    try:
        found = _read(answer)
    except (Rejected, Throttled, Unavailable, Unknown) as trouble:
        raise replace(trouble, raw=None) from None
    token, lasts = found.get("access_token"), found.get("expires_in")
    if isinstance(token, str) and token and isinstance(lasts, int):
        return Fetched(token, timedelta(seconds=lasts))
    code = found.get("errcode")
    known = TOKEN_CODES.get(code) if isinstance(code, int) else None
    means = Rejected(Reason.CREDENTIALS) if known is None else known
    raise replace(means, detail=f"no access token: errcode {code}")


def stable_token(
    http: HttpClient, url: str, app_id: str, secret: str, clock: Callable[[], float] = time.monotonic
) -> Fetch:
    """`/cgi-bin/stable_token`: gives every asker the same token until five minutes before its end.

    Only if that is the one that was just refused a new one is forced. That is allowed 20 times a day and
    takes the token from everybody else, so each process does it no more than once in `FORCE_EVERY` seconds.
    """
    forced_at: float | None = None

    async def fetch(refused: str | None) -> Fetched:
        nonlocal forced_at
        body = {"grant_type": "client_credential", "appid": app_id, "secret": secret}
        token = await fetch_token(http, "POST", f"{url}/cgi-bin/stable_token", body)
        if token.value != refused or (forced_at is not None and clock() < forced_at + FORCE_EVERY):
            return token
        forced_at = clock()
        return await fetch_token(http, "POST", f"{url}/cgi-bin/stable_token", {**body, "force_refresh": True})

    return fetch


def open_id(address: str, app_id: str) -> str:
    """The open id of an address `APPID/OPENID` or `OPENID`. Raises `Rejected` for another app's."""
    app, slash, own = address.rpartition("/")
    if slash and app != app_id:
        raise Rejected(Reason.ADDRESS_INVALID, "an open id of another app")
    return own
