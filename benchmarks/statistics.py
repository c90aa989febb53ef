"""Medians with intervals, percentiles, and what counts as met. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Literal

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the order statistics around it that hold the true one with `coverage` probability."""

    median: float
    low: float
    high: float
    coverage: float

    def reaches(self, target: float, side: Literal["at least", "at most"]) -> bool:
        """Whether the interval reaches the target: the measurement does not speak against it."""
        return self.high >= target if side == "at least" else self.low <= target


def interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The median with its distribution-free interval.

    The number of samples below the true median is binomial (n, 1/2), so the pair of order statistics that is
    symmetric around the middle covers it with a known probability; the narrowest pair that reaches
    `confidence` is taken, and the whole range where none does (David and Nagaraja, Order Statistics, 7.1).

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    count = len(ordered)
    below = [0.0, *accumulate(math.comb(count, k) / 2**count for k in range(count + 1))]
    """below[k]: the probability that fewer than k samples lie below the median."""
    place = 0
    while place + 1 < (count + 1) // 2 and 1 - 2 * below[place + 2] >= confidence:
        place += 1
    coverage = max(0.0, 1 - 2 * below[place + 1])
    return Interval(median(ordered), ordered[place], ordered[count - 1 - place], coverage)


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of the samples do not exceed: the nearest rank.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """`start` + `slope` · x."""

    start: float
    slope: float

    def at(self, x: float) -> float:
        return self.start + self.slope * x


def line(points: Sequence[tuple[float, float]]) -> Line:
    """The line with the least squares of distances in y; through a single point and the origin.

    Raises:
        ValueError: no points, or several that all have the same x.
    """
    if not points:
        raise ValueError("no points")
    if len(points) == 1:
        [(x, y)] = points
        return Line(0.0, y / x)
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError("points at one place make no line")
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / spread
    return Line(middle_y - slope * middle_x, slope)
