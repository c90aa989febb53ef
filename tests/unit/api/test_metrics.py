"""How often the tables are counted for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from engine.api import metrics
from engine.api.metrics import REMEMBERED_SECONDS, SHARE, Metrics

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


class Slow(Metrics):
    """Counting takes `seconds` on a clock of its own."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds, self.looks = clock, seconds, 0

    async def _look(self, database: AsyncEngine) -> None:
        self.looks += 1
        self.clock.now += self.seconds


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(metrics, "time", clock)
    return clock


async def scraped(what: Slow, *, every: float, times: int) -> int:
    database = cast("AsyncEngine", None)
    for _ in range(times):
        await what.text(database)
        what.clock.now += every
    return what.looks


async def test_counts_of_small_tables_are_remembered_for_a_few_seconds(clock: Clock) -> None:
    assert await scraped(Slow(clock, 0.01), every=REMEMBERED_SECONDS + 0.1, times=4) == 4
    assert await scraped(Slow(clock, 0.01), every=REMEMBERED_SECONDS / 5, times=5) == 1


async def test_counting_large_tables_takes_no_more_than_its_share_of_the_time(clock: Clock) -> None:
    slow, began = Slow(clock, 3.0), clock.now
    looks = await scraped(slow, every=1.0, times=600)
    assert 5 <= looks <= 1 + (clock.now - began) * SHARE / slow.seconds
