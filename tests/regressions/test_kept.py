"""Cases that once went wrong, or nearly. Each folder here is a project with scenarios, which `kairos test`
plays too; the simulator and the pool must agree on every one.

`arrivals.json`, where there is one, has messages in the order in which they came in, which no scenario says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from channels.testing.sink import FakeHttpSink
from engine.cli.check import check_folder
from engine.cli.project_folder import read_project
from engine.sdk.discovery import discover
from engine.simulator import run_suite
from tests.integration.parity.cases import Case, with_sink
from tests.integration.parity.crowds import Burst
from tests.integration.parity.keeping import ARRIVALS, read_arrivals
from tests.integration.pool.comparing import GRACE, compare, differ_from_scenarios

HERE = Path(__file__).parent
KEPT = sorted(path.parent.name for path in HERE.glob("*/kairos.yaml"))


@pytest.mark.parametrize("name", KEPT)
def test_scenarios_come_out_as_they_expect(name: str) -> None:
    project = check_folder(HERE / name)
    assert not project.errors, project.errors
    results = run_suite(project).results
    assert results, "a kept case without a scenario shows nothing"
    assert {each.run.scenario.name: each.differences for each in results if each.differences} == {}


@pytest.mark.integration
@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize("name", KEPT)
async def test_the_pool_runs_them_as_they_are_simulated(
    new_database: Callable[[], str], name: str, batch: int
) -> None:
    files, actions = read_project(HERE / name), discover(HERE / name)
    assert await differ_from_scenarios(new_database, files, actions, batch) == []


@pytest.mark.integration
@pytest.mark.parametrize("name", [name for name in KEPT if (HERE / name / ARRIVALS).exists()])
async def test_the_order_of_arrival_changes_nothing(new_database: Callable[[], str], name: str) -> None:
    bursts = read_arrivals((HERE / name / ARRIVALS).read_text("utf-8"))
    async with FakeHttpSink() as sink:
        case = Case(with_sink(read_project(HERE / name), sink.url), bursts)
        count, found = await compare(new_database(), case, grace=GRACE + _latest(bursts))
    assert count, "nobody enters: the case shows nothing"
    assert [str(one) for one in found] == []


def _latest(bursts: list[Burst]) -> timedelta:
    """How long after it occurred a message came in, at most."""
    return max(
        burst.at - datetime.fromisoformat(message["timestamp"])
        for burst in bursts
        for message in burst.messages
    )
