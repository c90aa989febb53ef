"""Histories of what is under way replay with the code of today, or it would be stuck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from engine.pool import crowd
from engine.pool import workflow as pool_workflow
from engine.temporal import workflow
from engine.temporal.codec import data_converter
from engine.temporal.registry import PLANS
from tests.replay.cases import CASES, PLANS_BY_NAME
from tests.replay.pool_cases import POOL_CASES, WORKFLOWS
from tests.replay.record import HISTORIES, MUST_FAIL

NAMES = sorted(path.stem for path in HISTORIES.glob("*.json") if path.stem != MUST_FAIL)
LIMITS = {case.name: case.history_limit for case in CASES if case.history_limit}
LIMITS |= {case.name: case.history_limit for case in POOL_CASES if case.history_limit}


def history(name: str) -> WorkflowHistory:
    text = (HISTORIES / f"{name}.json").read_text(encoding="utf-8")
    return WorkflowHistory.from_json(f"recorded/{name}", text)


def replayer(*, sandboxed: bool = True) -> Replayer:
    for name, plan in PLANS_BY_NAME.items():
        PLANS.add(name, plan)
    workflows: list[type[Any]] = [workflow.EnrolmentWorkflow, *WORKFLOWS]
    if sandboxed:
        return Replayer(workflows=workflows, data_converter=data_converter({}))
    return Replayer(
        workflows=workflows,
        data_converter=data_converter({}),
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_history_replays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = LIMITS.get(name.partition(".")[0])
    if limit is not None:
        for module in (workflow, pool_workflow, crowd):
            monkeypatch.setattr(module, "HISTORY_LIMIT", limit)
    await replayer(sandboxed=limit is None).replay_workflow(history(name))


async def test_a_history_with_another_activity_in_it_does_not_replay() -> None:
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(history(MUST_FAIL))


def test_every_case_is_recorded() -> None:
    assert {name.partition(".")[0] for name in NAMES} == {
        *(case.name for case in CASES),
        *(case.name for case in POOL_CASES),
    }


def test_no_history_tells_of_the_machine_that_recorded_it() -> None:
    for path in sorted(HISTORIES.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        assert str(Path.home()) not in text
        assert str(Path(__file__).parents[2]) not in text
