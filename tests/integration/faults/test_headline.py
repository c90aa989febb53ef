"""The headline: a burst of customers, `kill -9` in the middle, nobody lost and nobody told twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import chaos


def shown(line: str) -> None:
    print(line, file=sys.stderr)


async def trial(
    database_url: str, folder: Path, customers: int, victim: chaos.Victim, deadline: float
) -> None:
    ledger = await chaos.run(
        database_url, folder, customers=customers, victim=victim, deadline=deadline, say=shown
    )
    for line in ledger.lines():
        shown(line)
    assert ledger.killed_at[0] < customers, "the burst was over before the kill: this showed nothing"
    assert ledger.clean, "\n".join(ledger.lines())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", ["workers", "temporal"])
async def test_300_customers_survive_a_kill(victim: chaos.Victim, database_url: str, tmp_path: Path) -> None:
    await trial(database_url, tmp_path, 300, victim, 240)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("victim", ["workers", "temporal"])
async def test_1500_customers_survive_a_kill(victim: chaos.Victim, database_url: str, tmp_path: Path) -> None:
    await trial(database_url, tmp_path, 1_500, victim, 900)
