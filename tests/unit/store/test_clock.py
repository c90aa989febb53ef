from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.clock import REAL_TIME, ScaledClock

MAY = datetime(2024, 5, 1, tzinfo=UTC)
TODAY = datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_a_fast_clock_shows_an_hour_after_a_second() -> None:
    clock = ScaledClock(MAY, TODAY, speed=3600)
    assert clock.logical(TODAY + timedelta(seconds=1)) == MAY + timedelta(hours=1)
    assert clock.wall(MAY + timedelta(hours=1)) == TODAY + timedelta(seconds=1)


def test_a_timer_fires_grace_later_on_the_wall_only() -> None:
    clock = ScaledClock(MAY, TODAY, speed=60, grace=timedelta(seconds=3))
    assert clock.fires_at(MAY + timedelta(minutes=1)) == TODAY + timedelta(seconds=4)


def test_real_time_changes_nothing() -> None:
    assert REAL_TIME.logical(TODAY) == TODAY
    assert REAL_TIME.fires_at(TODAY) == TODAY
    assert not REAL_TIME.scaled


@given(st.floats(0.001, 100_000), st.integers(0, 10**9))
def test_wall_and_logical_undo_each_other(speed: float, seconds: int) -> None:
    clock = ScaledClock(MAY, TODAY, speed=speed)
    wall = TODAY + timedelta(milliseconds=seconds)
    try:
        back = clock.wall(clock.logical(wall))
    except OverflowError:
        return
    assert abs(back - wall) < timedelta(milliseconds=2)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_clock_that_stands_still_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(MAY, TODAY, speed=speed)
