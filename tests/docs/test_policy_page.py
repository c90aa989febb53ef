"""The table of rules in `docs/policy.md`: each file has its line, in the order in which they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from engine.core.inputs import SkipReason
from engine.policy import RULES
from engine.policy.rules import budget, quota
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| .+\? \|$", PAGE, re.MULTILINE)


def test_rules_stand_in_the_order_in_which_they_run() -> None:
    asked_early = [rule.__module__.rpartition(".")[2] for rule in RULES]
    asked_late = [module.__name__.rpartition(".")[2] for module in (quota, budget)]
    assert [name for name, _ in ROWS] == [*asked_early, *asked_late]


def test_every_rule_is_a_file_with_its_reason() -> None:
    folder = Path(quota.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {name for name, _ in ROWS} == files
    for name, reasons in ROWS:
        first = (folder / f"{name}.py").read_text(encoding="utf-8").splitlines()[0]
        for reason in re.findall(r"`(\w+)`", reasons):
            assert reason in get_args(SkipReason)
            assert f"`{reason}`" in first, f"{name}.py does not open with its reason"
