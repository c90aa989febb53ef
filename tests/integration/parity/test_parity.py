"""Generated journeys and customers: what the simulator says is what runs, enrolment by enrolment.

A failing case prints what is needed to run it alone: the journey's text, the customer's messages, both sides.
`PARITY_SEED=N` runs another one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from channels.testing.sink import FakeHttpSink
from engine.core.identity import event_id, profile_key
from engine.language.project import check_project
from engine.simulator import Report, StandIns, simulate
from engine.store import events, traces
from tests.integration.harness import SOURCE, Kairos, kairos
from tests.integration.parity.authoring import author_project
from tests.integration.parity.crowds import START, Burst, draw_crowd
from tests.integration.parity.records import Difference, Records, differences, of_database, of_simulation

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


def simulated(files: dict[str, str], bursts: Sequence[Burst]) -> Report:
    project = check_project(files)
    assert not project.errors, project.errors
    fails = {
        step.id
        for plan in project.plans.values()
        for step in plan.steps.values()
        if "fail?" in str(getattr(step, "spec", ""))
    }
    answers = {step.id: {"ok": True} for plan in project.plans.values() for step in plan.steps.values()}
    messages = [message for burst in bursts for message in burst.messages]
    stand_ins = StandIns(answers=answers, fails=frozenset(fails))
    return simulate(project, None, messages, source=SOURCE, stand_ins=stand_ins)


def told(difference: Difference, files: dict[str, str], bursts: Sequence[Burst]) -> str:
    """A difference with all that is needed to run it alone."""
    mine = [
        json.dumps(message)
        for burst in bursts
        for message in burst.messages
        if message["userId"] == difference.customer
    ]
    lines = "\n".join(mine)
    return f"{difference}\n{files[f'journeys/{difference.journey}.yaml']}\n{lines}"


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
    random = Random(seed)
    async with FakeHttpSink() as sink:
        files = author_project(random, journeys, sink.url)
        bursts = draw_crowd(random, customers)
        report = simulated(files, bursts)
        wanted = of_simulation(report)
        assert report.ended_at is not None
        speed = (report.ended_at - START).total_seconds() / SECONDS
        start = START - timedelta(seconds=LEAD * speed)
        async with kairos(database_url, temporal_address, start=start, speed=speed, grace=GRACE) as running:
            await running.apply(files)
            await play(running, bursts)
            await settled(running, len(wanted))
            people = {profile_key("external_id", f"c{n}"): f"c{n}" for n in range(customers)}
            ran = await of_database(running.database, people)
            behind = await lag(running, bursts)
    assert behind < GRACE, f"the machine is too busy for this: {behind:.1f} s behind, the grace is {GRACE} s"
    found = differences(ran, wanted)
    short = [str(one) for one in found]
    if found:
        short.append(told(found[0], files, bursts))
    return ran, wanted, short


@pytest.mark.timeout(240)
async def test_generated_journeys_run_as_they_are_simulated(database_url: str, temporal_address: str) -> None:
    seed = int(os.environ.get("PARITY_SEED", "1"))
    ran, wanted, found = await run(database_url, temporal_address, seed, journeys=8, customers=8)
    assert len(wanted) > 80, "too little happened to prove anything"
    assert not found, f"{len(found)} differences in {len(ran)} enrolments, seed {seed}\n" + "\n\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(100, 120))
async def test_many_generated_journeys_run_as_they_are_simulated(
    database_url: str, temporal_address: str, seed: int
) -> None:
    _, _, found = await run(database_url, temporal_address, seed, journeys=8, customers=8)
    assert not found, f"{len(found)} differences, seed {seed}\n" + "\n\n".join(found)
