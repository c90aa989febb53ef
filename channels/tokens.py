"""Access tokens of providers that hand out one at a time: one for each app, shared by all processes.

A token is fetched by whoever first finds it ended or refused; everybody else waits for that one. What they
share is a `TokenStore`: one row a name, changed only by compare-and-swap on its `version`.

    nothing kept, ended, or refused ──put(fetching_until)──▶ being fetched ──put(value)──▶ good
                     ▲                                            │
                     └────── the fetcher failed, or its time ran out

Times are of the wall. Who fetches has `LEASE` for it; a process that dies meanwhile holds the others up for
no longer. A token is given up `MARGIN` before its end, so that it does not end on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from channels.errors import Rejected, Throttled, Unavailable, Unknown

LEASE = timedelta(seconds=20)
MARGIN = timedelta(minutes=5)
POLL = 0.1


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store keeps under one name. `version` counts every change, from 1."""

    version: int
    value: str | None = field(default=None, repr=False)
    ends_at: datetime | None = None
    fetching_until: datetime | None = None


class TokenStore(Protocol):
    """Where tokens are kept. Shared by all processes; the values are secrets."""

    async def get(self, name: str) -> Kept | None: ...

    async def put(self, name: str, kept: Kept) -> bool:
        """Keep it if `kept.version` follows on what is there (1 on nothing). Whether it was kept."""
        ...


class MemoryTokens:
    """A `TokenStore` of one process."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    async def get(self, name: str) -> Kept | None:
        return self._kept.get(name)

    async def put(self, name: str, kept: Kept) -> bool:
        before = self._kept.get(name)
        if kept.version != (0 if before is None else before.version) + 1:
            return False
        self._kept[name] = kept
        return True


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token as the provider gave it, and how long it is good from now on."""

    value: str = field(repr=False)
    good_for: timedelta


Fetch = Callable[[str | None], Awaitable[Fetched]]
"""Asks the provider. Gets the token that it has just refused, or None."""


class Tokens:
    """The token of one name. `get` as often as you like; `refuse` the value that the provider refused.

    Nothing has left the house while a token is fetched, so `get` raises `Unavailable`, or what `fetch` raises
    if it is `Rejected` or `Throttled`.
    """

    def __init__(
        self,
        name: str,
        store: TokenStore,
        fetch: Fetch,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._name, self._store, self._fetch, self._clock = name, store, fetch, clock
        self._known: Kept | None = None
        self._looking: asyncio.Task[str] | None = None

    async def get(self) -> str:
        if self._known is not None and (value := self._good(self._known)) is not None:
            return value
        # Within one process one looks for all: what it finds, or its failure, is everybody's.
        if self._looking is None:
            self._looking = asyncio.create_task(self._share())
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    def _looked(self, task: asyncio.Task[str]) -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()  # retrieved, also where nobody waits any more

    async def refuse(self, value: str) -> None:
        """Have this token replaced, unless that has happened already."""
        if self._known is not None and self._known.value == value:
            self._known = None
        kept = await self._read()
        if kept is not None and kept.value == value and kept.ends_at is not None:
            await self._write(replace(kept, version=kept.version + 1, ends_at=None))

    def _good(self, kept: Kept) -> str | None:
        if kept.value is None or kept.ends_at is None or self._clock() >= kept.ends_at:
            return None
        return kept.value

    async def _share(self) -> str:
        while True:
            kept = await self._read()
            if kept is not None and (value := self._good(kept)) is not None:
                self._known = kept
                return value
            if kept is not None and kept.fetching_until is not None and self._clock() < kept.fetching_until:
                await asyncio.sleep(POLL)
                continue
            until = self._clock() + LEASE
            ours = (
                Kept(1, fetching_until=until)
                if kept is None
                else replace(kept, version=kept.version + 1, fetching_until=until)
            )
            if await self._write(ours):
                return await self._replace(ours)

    async def _replace(self, ours: Kept) -> str:
        # A token that only came to its end was not refused: its end is still there.
        refused = ours.value if ours.ends_at is None else None
        try:
            async with asyncio.timeout(LEASE.total_seconds()):
                fetched = await self._fetch(refused)
        except (Unavailable, Unknown, TimeoutError) as trouble:
            await self._write(replace(ours, version=ours.version + 1, fetching_until=None))
            raise Unavailable(f"no access token: {str(trouble) or 'time ran out'}") from None
        except (Rejected, Throttled):
            await self._write(replace(ours, version=ours.version + 1, fetching_until=None))
            raise
        # Short tokens keep most of their life.
        good_for = max(fetched.good_for - MARGIN, fetched.good_for * 0.8)
        new = Kept(ours.version + 1, fetched.value, self._clock() + good_for)
        # Where another took over because we were slow, ours is still good to use; theirs is kept.
        if await self._write(new):
            self._known = new
        return fetched.value

    async def _read(self) -> Kept | None:
        try:
            return await self._store.get(self._name)
        except Exception as fault:
            raise Unavailable(f"the token store failed: {type(fault).__name__}") from None

    async def _write(self, kept: Kept) -> bool:
        try:
            return await self._store.put(self._name, kept)
        except Exception as fault:
            raise Unavailable(f"the token store failed: {type(fault).__name__}") from None
