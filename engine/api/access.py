"""Who may do what: API keys of three scopes.

`ingest` keys send events and do nothing else, since they end up in web pages and apps. `manage` includes
`read`. A key comes as the user name of basic auth (as Segment's clients send it) or as a bearer token.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from engine.api.problems import Problem
from engine.store import keys
from engine.store.keys import ApiKey, Scope

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

REMEMBERED_SECONDS: Final = 2.0
"""How long a key that was found is not looked up again: a revoked key may work for as long."""
_MOST_REMEMBERED: Final = 1000
_LONGEST: Final = 200

ALLOWED: Final[dict[Scope, frozenset[Scope]]] = {
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read", "manage"}),
    "manage": frozenset({"manage"}),
}
"""What is wanted, to the scopes of keys that may do it."""


class KeyRing:
    """Keys of the database, remembered for a moment so that a busy client costs no query each time."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._found: dict[str, tuple[float, ApiKey]] = {}

    async def require(self, token: str | None, scope: Scope) -> ApiKey:
        """The key behind `token`.

        Raises:
            Problem: 401 without a known key, 403 if its scope is another.
        """
        if not token:
            raise _unauthorised("no key was sent; send one as the user name of basic auth or as bearer token")
        key = await self._find(token)
        if key is None:
            raise _unauthorised("this key is unknown or was revoked; `kairos keys` lists those that work")
        if key.scope not in ALLOWED[scope]:
            detail = f"this key has the scope `{key.scope}`; `{scope}` is needed here"
            raise Problem(403, "wrong-scope", detail)
        return key

    async def _find(self, token: str) -> ApiKey | None:
        if len(token) > _LONGEST or "\x00" in token:
            return None
        digest = keys.hash_of(token)
        remembered = self._found.get(digest)
        if remembered is not None and remembered[0] > time.monotonic():
            return remembered[1]
        async with self._database.connect() as connection:
            key = await keys.verify(connection, token)
        if key is None:
            self._found.pop(digest, None)
        else:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[digest] = (time.monotonic() + REMEMBERED_SECONDS, key)
        return key


def token_in(headers: Headers) -> str | None:
    """The key in an Authorization header; None if there is none that can be read."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _text(rest.strip())
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return _text(decoded.partition(":")[0])


def _text(token: str) -> str | None:
    return token if token and token.isascii() else None


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "unknown-key", detail, headers={"WWW-Authenticate": 'Basic realm="kairos"'})
