"""What the commands say, and what they read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.cli.applying import Changes, FileChange, JourneyChange
from engine.cli.enter import read_value
from engine.cli.explain import joined
from engine.cli.main import MODULES, build_app, run
from engine.cli.plan import change_lines
from engine.cli.session import counted, table
from engine.core.commands import Trace
from engine.core.differences import Difference

AT = datetime(2026, 11, 11, tzinfo=UTC)


def test_nothing_to_apply_is_said_in_one_line() -> None:
    same = JourneyChange("a", "same", "live", "d1", "d1", 1)
    assert list(change_lines(Changes((same,)))) == [
        "Nothing to apply: what is live is what is in the folder."
    ]


def test_a_change_says_version_differences_and_who_is_under_way() -> None:
    change = JourneyChange(
        "a", "changed", "live", "d2", "d1", 3, (Difference("x", "`x` waits 30m instead of 1h"),), 12, 2
    )
    assert list(change_lines(Changes((change,)))) == [
        "a: version 3 → 4",
        "  `x` waits 30m instead of 1h",
        "  14 enrolments under way (2 on older versions): they finish on the plan they began with",
    ]


def test_a_missing_file_is_said_without_being_a_change() -> None:
    missing = Changes((JourneyChange("a", "missing", "live", None, "d1", 1),))
    assert not missing.any
    assert "--archive-missing" in next(change_lines(missing))
    assert "will be archived" in next(change_lines(missing, archive_missing=True))


def test_files_that_count_at_once_are_listed_with_their_keys() -> None:
    changes = Changes((), (FileChange("kairos.yaml", "changed", ("time_zone",)), FileChange("t", "gone")))
    assert list(change_lines(changes))[-2:] == ["  kairos.yaml changed: time_zone", "  t is gone"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("12", 12), ("1.5", 1.5), ("null", None), ("NO", "NO"), ("21:00", "21:00"), ("", "")],
)
def test_values_are_read_as_in_a_file(text: str, value: object) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["{a", "[1, 2]", "a: b", "*x", "'"])
def test_what_is_no_scalar_is_text(text: str) -> None:
    assert read_value(text) == text


def trace(*results: str) -> list[Trace]:
    return [Trace(AT + timedelta(minutes=n), "began", step) for n, step in enumerate(results)]


def test_the_live_trace_goes_on_where_the_stored_one_ends() -> None:
    lines = trace("a", "b", "c", "d")
    assert joined(lines[:2], lines[2:], 2) == lines
    assert joined(lines[:3], lines[2:], 2) == lines
    assert joined(lines, lines[2:3], 2) == lines


def test_a_table_has_straight_columns() -> None:
    assert list(table(("a", "b"), [("long cell", "x"), ("y", "")])) == ["a          b", "long cell  x", "y"]


def test_numbers_are_counted_in_words() -> None:
    assert (counted(1, "enrolment"), counted(1200, "enrolment")) == ("1 enrolment", "1,200 enrolments")


def test_every_command_that_is_listed_is_registered() -> None:
    app = build_app()
    names = {command.name for command in app.registered_commands} | {g.name for g in app.registered_groups}
    assert names == {name for commands in MODULES.values() for name in commands}


@pytest.mark.parametrize("command", [name for commands in MODULES.values() for name in commands])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert "Usage: kairos" in capsys.readouterr().out
