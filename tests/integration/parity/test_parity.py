"""Generated journeys and customers: what the simulator says is what runs, enrolment by enrolment.

Half of the journeys run as workflows and half in the pool; an `enter` leads from one driver to the other. A
failing case prints as a project that can be run alone. `PARITY_SEED=N` runs another one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from channels.testing.sink import FakeHttpSink
from engine.core.identity import event_id
from engine.store import events, traces
from tests.integration.harness import POOL, SOURCE, Kairos, kairos
from tests.integration.parity.cases import draw_case, simulated
from tests.integration.parity.crowds import START, Burst
from tests.integration.parity.keeping import export, shown
from tests.integration.parity.records import Records, differences, of_database, of_simulation

SECONDS = 20.0
"""How long a run takes on the wall, about."""
GRACE = 20.0
QUIET = GRACE + 10
LEAD = 6.0
"""Before the first message, for the workers to be ready: lag beyond the grace would change outcomes."""


async def play(running: Kairos, bursts: Sequence[Burst]) -> None:
    """Sends every burst when its time has come on the scaled clock."""
    for burst in bursts:
        wait = (running.clock.wall(burst.at) - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(max(0.0, wait))
        await running.send(*burst.messages)


async def settled(running: Kairos, wanted: int) -> None:
    """Waits until as many as wanted have told how they ended, or nothing has moved for a while."""
    before, quiet = (0, 0), 0
    while quiet < QUIET:
        found = await running.enrolments()
        async with running.database.connect() as connection:
            told = await traces.read_batch(connection, [one.id for one in found])
        over = sum(lines[-1].result == "exited" for lines in told.values())
        if len(found) >= wanted and over == len(found):
            return
        now = (over, sum(map(len, told.values())))
        before, quiet = now, quiet + 1 if now == before else 0
        await asyncio.sleep(1)


async def lag(running: Kairos, bursts: Sequence[Burst]) -> float:
    """How many seconds after its time the latest message was routed."""
    at = {event_id(SOURCE, m["messageId"]): burst.at for burst in reversed(bursts) for m in burst.messages}
    async with running.database.connect() as connection:
        found = await events.get_batch(connection, at)
    assert found.keys() == at.keys(), "some messages were lost"
    late = [e.routed_at - running.clock.wall(at[e.event_id]) for e in found.values() if e.routed_at]
    assert len(late) == len(at), "some messages were not routed"
    return max(late).total_seconds()


async def run(
    database_url: str, temporal_address: str, seed: int, journeys: int, customers: int
) -> tuple[Records, Records, list[str]]:
    """Both sides, and their differences in words. Longer than the grace nothing may have lagged."""
    async with FakeHttpSink() as sink:
        case = draw_case(Random(seed), sink.url, journeys=journeys, customers=customers, run_as="both")
        report = simulated(case)
        wanted = of_simulation(report.enrolments)
        assert report.ended_at is not None
        speed = (report.ended_at - START).total_seconds() / SECONDS
        start = START - timedelta(seconds=LEAD * speed)
        async with kairos(
            database_url, temporal_address, start=start, speed=speed, grace=GRACE, parts=POOL
        ) as running:
            await running.apply(case.files)
            await play(running, case.bursts)
            await settled(running, len(wanted))
            ran = await of_database(running.database, case.people)
            behind = await lag(running, case.bursts)
    assert behind < GRACE, f"the machine is too busy for this: {behind:.1f} s behind, the grace is {GRACE} s"
    found = differences(ran, wanted)
    short = [str(one) for one in found]
    if found:
        short.append(shown(export(case, found[0].customer, found[0].journey, arrivals=True)))
    return ran, wanted, short


def by_driver(records: Records) -> dict[str, int]:
    """How many enrolments each driver had: the journeys take turns."""
    pool = sum(
        (int(one.journey.lstrip("jentrd")) % 2 == 1) != one.journey.startswith("entered")
        for one in records.values()
    )
    return {"pool": pool, "workflow": len(records) - pool}


@pytest.mark.timeout(240)
async def test_generated_journeys_run_as_they_are_simulated(
    database_url: str, temporal_address: str, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("PARITY_SEED", "1"))
    ran, wanted, found = await run(database_url, temporal_address, seed, journeys=10, customers=8)
    counts = by_driver(wanted)
    assert min(counts.values()) > 40, f"too little happened to prove anything: {counts}"
    assert not found, f"{len(found)} differences in {len(ran)} enrolments, seed {seed}\n" + "\n\n".join(found)
    record_property("compared", len(wanted))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(100, 120))
async def test_many_generated_journeys_run_as_they_are_simulated(
    database_url: str, temporal_address: str, seed: int
) -> None:
    _, _, found = await run(database_url, temporal_address, seed, journeys=10, customers=8)
    assert not found, f"{len(found)} differences, seed {seed}\n" + "\n\n".join(found)
