"""Generated journeys and customers: the pool leaves the same trace as the simulator, in batches of any size.

A failing case is made smaller and printed as a project that can be run alone and kept. `POOL_SEED=N` begins
with another seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from channels.testing.sink import FakeHttpSink
from tests.integration.parity.cases import draw_case
from tests.integration.pool.comparing import GRACE, compare, explained

FIRST = int(os.environ.get("POOL_SEED", "1"))


@dataclass(frozen=True)
class Kind:
    """What is special about a case."""

    offline: timedelta = timedelta(0)
    paused: bool = False
    grace: timedelta = GRACE
    together: bool = False
    journeys: int = 4
    customers: int = 6


KINDS = {
    "bursts": Kind(),
    "offline": Kind(offline=timedelta(hours=1), grace=timedelta(hours=1, minutes=2)),
    # On a scaled clock an operator's order does not wait for the grace: see `crowds.draw_operations`.
    "paused": Kind(paused=True, grace=timedelta(seconds=10)),
    # More than seven rows of one shard are due at once.
    "together": Kind(together=True, journeys=2, customers=70),
}


async def run(
    new_database: Callable[[], str], folder: Path, kind: Kind, seed: int, batch: int
) -> tuple[int, str]:
    """How many enrolments were compared, and what differs in words."""
    async with FakeHttpSink() as sink:
        case = draw_case(
            Random(seed),
            sink.url,
            journeys=kind.journeys,
            customers=kind.customers,
            together=kind.together,
            offline=kind.offline,
            paused=kind.paused,
        )
        count, found = await compare(new_database(), case, batch=batch, grace=kind.grace)
        if not found:
            return count, ""
        return count, await explained(case, found, folder, new_database, batch=batch, grace=kind.grace)


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("seed", range(FIRST, FIRST + 2))
@pytest.mark.parametrize("kind", [name for name in KINDS if name != "together"])
async def test_generated_journeys_run_as_they_are_simulated(
    new_database: Callable[[], str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    kind: str,
    seed: int,
    batch: int,
) -> None:
    count, told = await run(new_database, tmp_path, KINDS[kind], seed, batch)
    assert not told, f"seed {seed}: {told}"
    record_property("compared", count)


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_a_generated_crowd_runs_as_it_is_simulated(
    new_database: Callable[[], str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    batch: int,
) -> None:
    count, told = await run(new_database, tmp_path, KINDS["together"], FIRST, batch)
    assert not told, f"seed {FIRST}: {told}"
    record_property("compared", count)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("kind", KINDS)
async def test_many_generated_journeys_run_as_they_are_simulated(
    new_database: Callable[[], str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    kind: str,
    batch: int,
) -> None:
    total = 0
    for seed in range(1_000 * batch, 1_000 * batch + 30):
        count, told = await run(new_database, tmp_path, KINDS[kind], seed, batch)
        assert not told, f"seed {seed}: {told}"
        total += count
    record_property("compared", total)
