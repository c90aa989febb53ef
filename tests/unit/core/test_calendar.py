"""Local time against the vectors in `tests/vectors/calendar.json`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.core.calendar import instant_of, next_opening, next_time

VECTORS = json.loads(Path("tests/vectors/calendar.json").read_text(encoding="utf-8"))


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in VECTORS[kind]]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("case", cases("next_time"))
def test_next_time(case: dict[str, Any]) -> None:
    found = next_time(instant(case["now"]), case["time"], tuple(case["days"]), case["zone"])
    assert found == instant(case["is"])
    assert found > instant(case["now"])


@pytest.mark.parametrize("case", cases("next_opening"))
def test_next_opening(case: dict[str, Any]) -> None:
    found = next_opening(
        instant(case["now"]), case["opens"], case["closes"], tuple(case["days"]), case["zone"]
    )
    assert found == instant(case["is"])


@pytest.mark.parametrize("case", cases("instant_of"))
def test_instant_of(case: dict[str, Any]) -> None:
    found = instant_of(case["value"], case["zone"], case["installation"])
    assert found == (None if case["is"] is None else instant(case["is"]))
