"""A generated case can be taken out of its crowd: made smaller, and exported as a project that runs alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from engine.cli.check import check_folder
from engine.simulator import run_suite
from engine.simulator.person import Enrolment
from tests.integration.parity.authoring import MOST_STEPS
from tests.integration.parity.cases import Case, draw_case, simulated
from tests.integration.parity.keeping import ARRIVALS, export, put, read_arrivals, shown
from tests.integration.parity.shrinking import shrink

URL = "http://127.0.0.1:9"
KINDS = {"bursts": {}, "offline": {"offline": timedelta(hours=1)}, "paused": {"paused": True}}


def drawn(seed: int, kind: str = "bursts") -> Case:
    return draw_case(Random(seed), URL, journeys=4, customers=6, **KINDS[kind])  # type: ignore[arg-type]


def told(enrolments: list[Enrolment]) -> list[list[tuple[object, ...]]]:
    return [[(line.at, line.result, line.step, line.detail) for line in each.trace] for each in enrolments]


@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_case_runs_alone_as_it_ran_in_its_crowd(tmp_path: Path, kind: str, seed: int) -> None:
    case = drawn(seed, kind)
    everybody = simulated(case).enrolments
    pairs = sorted({(each.person.external_id or "", each.journey.name) for each in everybody})
    for customer, journey in Random(seed).sample(pairs, min(8, len(pairs))):
        folder = put(export(case, customer, journey, arrivals=True), tmp_path / f"{customer}-{journey}")
        project = check_folder(folder)
        assert not project.errors, project.errors
        [result] = run_suite(project).results
        assert result.differences == []
        assert not any("left to chance" in warning for warning in result.run.warnings) or _varies(result.run)
        wanted = [e for e in everybody if (e.person.external_id, e.journey.name) == (customer, journey)]
        assert told(result.run.enrolments) == told(wanted)
        came = read_arrivals((folder / ARRIVALS).read_text("utf-8"))
        assert [m for burst in came for m in burst.messages] == case.of(customer)


def _varies(run: object) -> bool:
    """Whether a split `by: enrolment` took different variants in two enrolments: they cannot be forced."""
    taken = [each.state.variants for each in run.enrolments]  # type: ignore[attr-defined]
    return any(one != taken[0] for one in taken)


def test_what_is_printed_holds_the_journey_and_the_scenario() -> None:
    case = drawn(1)
    first = simulated(case).enrolments[0]
    text = shown(export(case, first.person.external_id or "", first.journey.name))
    assert f"journey: {first.journey.name}\n" in text
    assert f"--- journeys/tests/{first.journey.name}.test.yaml" in text
    assert "expect:" in text


async def test_a_case_is_made_as_small_as_what_is_wrong_with_it() -> None:
    case = drawn(2)
    customer, found = next(
        (each.person.external_id or "", message)
        for each in simulated(case).enrolments
        for message in each.messages
        if each.journey.name.startswith("j")
    )
    asked = 0

    async def differs(smaller: Case) -> bool:
        nonlocal asked
        asked += 1
        return any(m.step == found.step for e in simulated(smaller).enrolments for m in e.messages)

    small = await shrink(case, customer, differs, tries=200)
    assert asked <= 200
    assert await differs(small)
    assert small.customers == [customer]
    events = [m for burst in small.bursts for m in burst.messages if m["type"] == "track"]
    assert len(events) <= 2
    journeys = [path for path in small.files if path.startswith("journeys/") and "catalog" not in path]
    assert journeys == [f"journeys/{found.journey}.yaml"]
    assert small.files[journeys[0]].count("id: ") < MOST_STEPS / 2


async def test_of_what_never_differs_nothing_is_left_out() -> None:
    case = drawn(3)

    async def differs(smaller: Case) -> bool:
        return False

    assert await shrink(case, "c0", differs, tries=30) == case
