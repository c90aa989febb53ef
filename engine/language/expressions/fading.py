"""What is left of a behaviour after some time: half of it after every half-life.

Both back ends work with the doubles of IEEE 754, and must come to the very same one, while the `pow` of two
machines may differ in its last digit. So 2^-x is worked out from additions, multiplications and a division by
a power of two alone, whose results are fixed: a Taylor series around the middle of a half-life, exact to
2e-13. What is left of each event is rounded to billionths and added up as whole numbers, so that the order of
events does not matter either.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from math import factorial, floor, log, sqrt
from typing import Final

BILLION: Final = 1_000_000_000
TERMS: Final = tuple(sqrt(0.5) * (-log(2)) ** k / factorial(k) for k in range(11))
"""Of 2^-x around x = 0.5, the constant first."""
_GONE: Final = 31
"""Half-lives after which less than half a billionth is left."""


def reach(half_life: timedelta | None) -> timedelta | None:
    """How far back events matter; None: all of them."""
    try:
        return None if half_life is None else half_life * _GONE
    except OverflowError:
        return None


def left(age: timedelta, half_life: timedelta) -> int:
    """What is left of 1 after `age`, in billionths."""
    halvings = age / timedelta(seconds=1) / half_life.total_seconds()
    whole = floor(halvings)
    if whole > _GONE:
        return 0
    past = halvings - whole - 0.5
    power = TERMS[-1]
    for term in reversed(TERMS[:-1]):
        power = power * past + term
    return floor(power / (1 << whole) * 1e9 + 0.5)


def summed(parts: Iterable[int]) -> int | float:
    """Billionths as a number."""
    found = float(sum(parts)) / 1e9
    return int(found) if found.is_integer() else found
