"""Generated journeys and customers: the pool leaves the same trace as the simulator, in batches of any size.

A failing case prints what is needed to run it alone. `POOL_SEED=N` runs another first one.
"""

from __future__ import annotations

import os
from datetime import timedelta
from random import Random

import pytest

from channels.testing.sink import FakeHttpSink
from engine.core.identity import profile_key
from tests.integration.parity.authoring import author_project
from tests.integration.parity.crowds import START, draw_crowd
from tests.integration.parity.records import differences, of_database, of_simulation
from tests.integration.parity.test_parity import simulated, told
from tests.integration.pool.virtual import virtual

GRACE = timedelta(minutes=2)
"""More than any message of a burst is behind its time."""


async def run(
    database_url: str, seed: int, batch: int, journeys: int, customers: int
) -> tuple[int, list[str]]:
    random = Random(seed)
    async with FakeHttpSink() as sink:
        files = author_project(random, journeys, sink.url, run_as="pool")
        bursts = draw_crowd(random, customers)
        wanted = of_simulation(simulated(files, bursts))
        async with virtual(database_url, files, START, grace=GRACE, batch=batch) as running:
            await running.play(bursts)
            people = {profile_key("external_id", f"c{n}"): f"c{n}" for n in range(customers)}
            ran = await of_database(running.database, people)
    found = differences(ran, wanted)
    short = [str(one) for one in found]
    if found:
        short.append(told(found[0], files, bursts))
    return len(wanted), short


FIRST = int(os.environ.get("POOL_SEED", "1"))


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("seed", range(FIRST, FIRST + 4))
async def test_generated_journeys_run_as_they_are_simulated(database_url: str, seed: int, batch: int) -> None:
    count, found = await run(database_url, seed, batch, journeys=4, customers=6)
    assert not found, f"{len(found)} differences in {count}, seed {seed}\n" + "\n\n".join(found)
