"""The headline: a burst of customers, `kill -9` in the middle, nobody lost and nobody told twice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import chaos


def shown(line: str) -> None:
    print(line, file=sys.stderr)


async def trial(
    database_url: str, folder: Path, customers: int, victims: Sequence[chaos.Victim], deadline: float
) -> None:
    ledger = await chaos.run(
        database_url, folder, customers=customers, victims=victims, deadline=deadline, say=shown
    )
    for line in ledger.lines():
        shown(line)
    assert all(taken < customers for _, taken in ledger.killed), "the burst was over before the kill"
    assert ledger.clean, "\n".join(ledger.lines())


@pytest.mark.timeout(300)
async def test_300_customers_survive_a_kill_of_the_workers_and_one_of_temporal(
    database_url: str, tmp_path: Path
) -> None:
    await trial(database_url, tmp_path, 300, ["workers", "temporal"], 240)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("victim", ["workers", "temporal"])
async def test_1500_customers_survive_a_kill(victim: chaos.Victim, database_url: str, tmp_path: Path) -> None:
    await trial(database_url, tmp_path, 1_500, [victim], 900)
