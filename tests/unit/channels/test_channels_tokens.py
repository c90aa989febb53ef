"""Access tokens: one for each app, shared by all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.receipt import Reason
from channels.tokens import LEASE, Fetched, Kept, MemoryTokens, Tokens

START = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)
HOURS = timedelta(hours=2)


class Shop:
    """A provider, several processes that ask it, and the clock on their wall."""

    def __init__(self) -> None:
        self.now = START
        self.store = MemoryTokens()
        self.calls: list[str | None] = []
        self.answers: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, refused: str | None) -> Fetched:
        self.calls.append(refused)
        number = len(self.calls)
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
        return Fetched(f"token-{number}", HOURS)

    def process(self) -> Tokens:
        return Tokens("app", self.store, self.fetch, clock=lambda: self.now)


async def test_all_processes_together_fetch_once() -> None:
    shop = Shop()
    shop.gate.clear()
    processes = [shop.process() for _ in range(5)]
    asking = [asyncio.create_task(p.get()) for p in processes for _ in range(10)]
    await asyncio.sleep(0.05)
    shop.gate.set()
    assert set(await asyncio.gather(*asking)) == {"token-1"}
    assert shop.calls == [None]


async def test_a_token_is_replaced_shortly_before_its_end() -> None:
    shop = Shop()
    one, other = shop.process(), shop.process()
    await one.get()
    shop.now = START + HOURS - timedelta(minutes=6)
    assert await one.get() == "token-1"
    shop.now = START + HOURS - timedelta(minutes=5)
    assert await one.get() == "token-2"
    assert await other.get() == "token-2"
    # It ended, nobody refused it.
    assert shop.calls == [None, None]


async def test_a_refused_token_is_replaced_once_whoever_says_so_and_however_late() -> None:
    shop = Shop()
    processes: Sequence[Tokens] = [shop.process() for _ in range(4)]
    for process in processes:
        assert await process.get() == "token-1"
    await asyncio.gather(*(p.refuse("token-1") for p in processes))
    assert {await p.get() for p in processes} == {"token-2"}
    await processes[0].refuse("token-1")
    assert await processes[0].get() == "token-2"
    assert shop.calls == [None, "token-1"]


async def test_a_process_that_dies_while_fetching_holds_the_others_up_no_longer_than_its_lease() -> None:
    shop = Shop()
    assert await shop.store.put("app", Kept(1, fetching_until=START + LEASE))
    waiting = asyncio.create_task(shop.process().get())
    await asyncio.sleep(0.15)
    assert not waiting.done()
    assert shop.calls == []
    shop.now = START + LEASE
    assert await asyncio.wait_for(waiting, 10) == "token-1"


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        (Unavailable("ConnectError"), Unavailable("no access token: unavailable: ConnectError")),
        (Unknown("ReadTimeout"), Unavailable("no access token: unknown: ReadTimeout")),
        (Rejected(Reason.CREDENTIALS, "errcode 40125"), Rejected(Reason.CREDENTIALS, "errcode 40125")),
        (Throttled(timedelta(minutes=1)), Throttled(timedelta(minutes=1))),
    ],
)
async def test_a_failure_is_everybody_s_and_the_next_one_tries_again(
    trouble: Exception, outcome: Exception
) -> None:
    shop = Shop()
    shop.answers = [trouble]
    process = shop.process()
    found = await asyncio.gather(*(process.get() for _ in range(20)), return_exceptions=True)
    assert found == [outcome] * 20
    assert shop.calls == [None]
    assert await shop.process().get() == "token-2"


async def test_a_store_that_fails_is_unavailable_and_does_not_quote_itself() -> None:
    class Broken(MemoryTokens):
        async def get(self, name: str) -> Kept | None:
            raise OSError("the row token-1")

    shop = Shop()
    tokens = Tokens("app", Broken(), shop.fetch)
    with pytest.raises(Unavailable) as caught:
        await tokens.get()
    assert str(caught.value) == "unavailable: the token store failed: OSError"
    assert shop.calls == []


async def test_who_was_too_slow_uses_its_token_and_leaves_the_newer_one_in_place() -> None:
    shop = Shop()
    shop.gate.clear()
    slow = asyncio.create_task(shop.process().get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shop.now = START + LEASE
    quick = asyncio.create_task(shop.process().get())
    await asyncio.sleep(0.01)
    shop.gate.set()
    assert {await slow, await quick} == {"token-1", "token-2"}
    kept = await shop.store.get("app")
    assert kept is not None
    assert kept.value == "token-2"


async def test_the_memory_store_keeps_only_what_follows_on_what_is_there() -> None:
    store = MemoryTokens()
    assert not await store.put("a", Kept(2))
    assert await store.put("a", Kept(1))
    assert not await store.put("a", Kept(1))
    assert await store.put("b", Kept(1, "other"))
    assert await store.put("a", Kept(2, "new"))
    assert await store.get("a") == Kept(2, "new")


def test_no_token_shows() -> None:
    kept = Kept(1, "a-secret-token", START)
    shown = f"{kept} {replace(kept, version=2)!r} {Fetched('a-secret-token', HOURS)}"
    assert "a-secret-token" not in shown
