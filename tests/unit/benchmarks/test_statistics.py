import random

import pytest

from benchmarks.statistics import interval, line, percentile


def test_interval_of_ten_leaves_out_the_outermost_pair() -> None:
    found = interval([float(n) for n in range(10, 0, -1)])
    # The table of every textbook: for n = 10 the 2nd and 9th cover the median with 97.9 %.
    assert (found.median, found.low, found.high) == (5.5, 2.0, 9.0)
    assert found.coverage == pytest.approx(0.9785, abs=1e-4)


def test_interval_of_twenty_takes_the_sixth_from_both_ends() -> None:
    found = interval([float(n) for n in range(1, 21)])
    assert (found.low, found.high) == (6.0, 15.0)
    assert found.coverage == pytest.approx(0.9586, abs=1e-4)


def test_interval_of_few_is_their_range_and_says_how_little_it_covers() -> None:
    found = interval([3.0, 1.0])
    assert (found.low, found.high, found.coverage) == (1.0, 3.0, 0.5)
    assert interval([2.0]).coverage == 0.0


def test_interval_covers_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(7)
    hits = 0
    for _ in range(2_000):
        found = interval([chance.expovariate(1.0) for _ in range(10)])
        hits += found.low <= 0.6931 <= found.high
    assert hits / 2_000 == pytest.approx(0.9785, abs=0.015)


def test_a_target_is_reached_by_the_better_end() -> None:
    found = interval([0.7, 0.75, 0.78, 0.79, 0.8, 0.81, 0.82, 0.83, 0.85, 0.9])
    assert found.reaches(0.85, "at least")
    assert not found.reaches(0.86, "at least")
    assert found.reaches(0.75, "at most")
    assert not found.reaches(0.74, "at most")


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert percentile(samples, share) == expected


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        interval([])
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


def test_a_line_goes_through_points_that_lie_on_one() -> None:
    found = line([(100.0, 12.0), (300.0, 32.0), (1_000.0, 102.0)])
    assert found.start == pytest.approx(2.0)
    assert found.slope == pytest.approx(0.1)
    assert found.at(10_000) == pytest.approx(1_002.0)


def test_a_line_has_the_least_squares() -> None:
    # By hand: means 2 and 3, so the slope is (1 · 1 + 0 · 1 + 1 · 0) / 2.
    found = line([(1.0, 2.0), (2.0, 4.0), (3.0, 3.0)])
    assert found.start == pytest.approx(2.0)
    assert found.slope == pytest.approx(0.5)


def test_one_point_and_the_origin_make_a_line() -> None:
    assert line([(100.0, 25.0)]).at(1_000) == 250.0


def test_points_that_make_no_line_are_an_error() -> None:
    with pytest.raises(ValueError, match="no points"):
        line([])
    with pytest.raises(ValueError, match="no line"):
        line([(1.0, 2.0), (1.0, 3.0)])
