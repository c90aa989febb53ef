"""What a request to a public page tells of who made it: a person, a machine, one that guesses."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import lru_cache
from typing import Final

from crawleruseragents import is_crawler
from fastapi import Request
from starlette.datastructures import Headers

from engine.ingest.clicking import Machine

MOST_WRONG: Final = 30
"""Wrong codes and tokens a minute from one address; those after them get 429."""
_MINUTE: Final = 60.0
_MOST_ADDRESSES: Final = 10_000
_LONGEST_AGENT: Final = 400
# Mail gateways and link checkers that call themselves by name; the library knows crawlers.
_GATEWAYS: Final = (
    "barracuda",
    "mimecast",
    "proofpoint",
    "fireeye",
    "trendmicro",
    "symantec",
    "messagelabs",
    "safelinks",
    "urldefense",
    "urlscan",
    "mailscanner",
    "cloudmark",
    "sophos",
    "linkcheck",
)
_PREFETCH: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_AHEAD: Final = ("prefetch", "prerender", "preview")


def machine_of(headers: Headers) -> Machine | None:
    """What a request gives away by itself: a machine that follows links, or a browser that fetches ahead."""
    if any(word in headers.get(name, "").lower() for name in _PREFETCH for word in _AHEAD):
        return "prefetch"
    return "agent" if _is_machine(headers.get("user-agent", "")[:_LONGEST_AGENT]) else None


@lru_cache(maxsize=4096)
def _is_machine(agent: str) -> bool:
    lower = agent.lower()
    return not agent or any(name in lower for name in _GATEWAYS) or bool(is_crawler(agent))


class WrongTries:
    """Counts wrong codes and tokens by address. What is right is never held up by them."""

    def __init__(self, most: int = MOST_WRONG) -> None:
        self._most = most
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def too_many(self, request: Request) -> bool:
        """Notes one more; whether this address had its share for this minute."""
        address = request.client.host if request.client is not None else ""
        now = time.monotonic()
        since, count = self._seen.pop(address, (now, 0))
        if now - since >= _MINUTE:
            since, count = now, 0
        self._seen[address] = (since, count + 1)
        if len(self._seen) > _MOST_ADDRESSES:
            self._seen.popitem(last=False)
        return count >= self._most
