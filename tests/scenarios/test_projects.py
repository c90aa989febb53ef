"""Projects written from the language page alone: each must check without a mistake and test as it expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.check import check_folder
from engine.simulator import run_suite

HERE = Path(__file__).parent
PROJECTS = sorted(path.parent.name for path in HERE.glob("*/kairos.yaml"))


@pytest.mark.parametrize("name", PROJECTS)
def test_project_checks_and_its_scenarios_hold(name: str) -> None:
    project = check_folder(HERE / name)
    assert [each for each in project.diagnostics if each.severity == "error"] == []

    results = run_suite(project).results

    assert results
    wrong = {
        result.run.scenario.name: [(each.key, each.expected, each.got) for each in result.differences]
        for result in results
        if result.differences
    }
    assert wrong == {}
