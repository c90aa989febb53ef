"""Quiet hours and periods of the calendar, against `tests/vectors/quiet_hours.json`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.core.calendar import end_of_window, period_of
from engine.core.limits import Hours, Policy, QuietHours
from engine.policy import Closed, Defer, Held, Profile, Request, Settings
from engine.policy.rules.hours import within_hours
from engine.policy.rules.quiet_hours import outside_quiet_hours

VECTORS = json.loads(Path("tests/vectors/quiet_hours.json").read_text(encoding="utf-8"))
SPREAD = timedelta(minutes=30)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _asked(case: dict[str, Any], then: str = "defer", **values: Any) -> Request:
    hours = QuietHours(case["from"], case["to"], then, tuple(case["days"]))  # type: ignore[arg-type]
    return Request("p", ("sms",), "marketing", _at(case["at"]), policy=Policy(quiet_hours=hours), **values)


@pytest.mark.parametrize("case", VECTORS["quiet"], ids=lambda case: case["name"])
def test_quiet_hours_last_until(case: dict[str, Any]) -> None:
    until = None if case["until"] is None else _at(case["until"])
    profile = Profile(time_zone=case["zone"])
    found = outside_quiet_hours(_asked(case), "sms", profile, Settings())
    assert found == (None if until is None else Held("quiet_hours", until))
    found = outside_quiet_hours(_asked(case, "skip"), "sms", profile, Settings())
    assert found == (None if until is None else Held("quiet_hours"))


@pytest.mark.parametrize("case", VECTORS["quiet"], ids=lambda case: case["name"])
def test_what_is_spread_leaves_soon_after_and_never_in_the_night(case: dict[str, Any]) -> None:
    profile, settings = Profile(time_zone=case["zone"]), Settings(spread=True)
    if case["until"] is None:
        return
    over = _at(case["until"])
    times = set()
    for key in map(str, range(40)):
        found = outside_quiet_hours(_asked(case, key=key), "sms", profile, settings)
        assert isinstance(found, Held)
        assert found.until is not None
        assert over <= found.until < over + SPREAD
        days = tuple(case["days"])
        assert end_of_window(found.until, case["from"], case["to"], days, case["zone"]) is None
        times.add(found.until)
        again = outside_quiet_hours(_asked(case, key=key), "sms", profile, settings)
        assert again == found
    assert len(times) > 20


@pytest.mark.parametrize("case", VECTORS["periods"], ids=lambda case: case["name"])
def test_periods_of_the_calendar(case: dict[str, Any]) -> None:
    found = period_of(_at(case["at"]), case["period"], case["zone"])
    assert found == (_at(case["begins"]), _at(case["ends"]))


def test_transactional_messages_and_repeats_know_no_night() -> None:
    case = VECTORS["quiet"][0]
    asked = _asked(case)
    asked.category = "transactional"
    assert outside_quiet_hours(asked, "sms", Profile(time_zone=case["zone"]), Settings()) is None
    repeat = _asked(case, repeat=True)
    assert outside_quiet_hours(repeat, "sms", Profile(time_zone=case["zone"]), Settings()) is None


def test_a_channel_opens_at_its_hours() -> None:
    asked = Request("p", ("sms",), "marketing", _at("2026-11-11T23:30:00Z"))
    settings = Settings(hours={"sms": Hours("08:00", "22:00", zone="Asia/Shanghai")})
    assert within_hours(asked, "sms", Profile(), settings) == Defer(_at("2026-11-12T00:00:00Z"), "window")
    assert within_hours(asked, "push", Profile(), settings) is None
    asked.since = asked.at - timedelta(days=20)
    assert within_hours(asked, "sms", Profile(), settings) == Closed("window")
