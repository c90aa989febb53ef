"""Bad projects beside what the checker says of them.

A case is a file `cases/NAME.txt`: the project files, each after a line `=== path`, then a line `--- found`
and the expected list. What a case leaves out of `kairos.yaml`, catalogue and templates comes from `BASE`, so
that it shows only its mistake. To accept what is printed now: `KAIROS_ACCEPT=1 pytest tests/diagnostics`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from channels.registry import examine, names
from engine.cli.check import content_checker
from engine.language.actions import ActionSignature
from engine.language.listing import as_text
from engine.language.project import check_project

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
ACTIONS = {"score": ActionSignature("score", {"points": ("number", True), "note": ("text", False)})}
BASE = {
    "kairos.yaml": "version: 1\ntime_zone: Asia/Shanghai\nbrand: {name: Nanxun Tea}\n",
    "journeys/catalog.yaml": (Path(__file__).parent / "catalog.yaml").read_text(encoding="utf-8"),
    "templates/hello/sms.text.j2": "Hello",
    "templates/hello/email.subject.j2": "Hello",
    "templates/hello/email.text.j2": "Hello",
}


def split(text: str) -> tuple[dict[str, str], str]:
    authored, _, expected = text.partition("--- found\n")
    files = dict(BASE)
    for block in authored.split("=== ")[1:]:
        path, _, body = block.partition("\n")
        files[path.strip()] = body
    return files, expected


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_bad_project_is_answered_as_written_beside_it(case: Path) -> None:
    text = case.read_text(encoding="utf-8")
    files, expected = split(text)
    found = as_text(check_project(files, ACTIONS, content_checker, names(), examine).diagnostics)
    if os.environ.get("KAIROS_ACCEPT"):
        case.write_text(text.partition("--- found\n")[0] + "--- found\n" + found, encoding="utf-8")
        return
    assert found == expected


def test_the_base_itself_has_no_mistake() -> None:
    assert check_project(BASE, ACTIONS, content_checker, names(), examine).diagnostics == ()
