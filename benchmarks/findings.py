"""What a benchmark found, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.statistics import Interval, interval

Side = Literal["at least", "at most"]
Form = Callable[[float], str]
LEAST_PAIRS = 10
"""With fewer pairs a comparison has no verdict: its interval reaches nearly anything."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `target` None: there is none, the numbers are only told."""

    what: str
    baseline: str
    value: str
    target: str | None = None
    met: bool | None = None
    notes: tuple[str, ...] = ()
    pairs: tuple[str, ...] = field(default=(), repr=False)
    """Each pair's own numbers, for who wants to look closer."""

    @property
    def verdict(self) -> str:
        if self.met is None:
            return "" if self.target is None else "too few pairs to say"
        return "met" if self.met else "not met"


def compared(
    what: str,
    baseline: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    target: float,
    side: Side,
    *,
    unit: str,
    notes: Sequence[str] = (),
) -> Finding:
    """A ratio to a baseline measured in turns with it, pair by pair."""
    found = interval([a / b for a, b in zip(ours, theirs, strict=True)])
    return Finding(
        what,
        baseline,
        f"{found.median:.2f} ({_range(found, '{:.2f}')}); "
        f"medians {figure(interval(ours).median)} against {figure(interval(theirs).median)} {unit}",
        f"{side} {target:g}",
        found.reaches(target, side) if len(ours) >= LEAST_PAIRS else None,
        tuple(notes),
        tuple(f"{figure(a)} / {figure(b)}" for a, b in zip(ours, theirs, strict=True)),
    )


def measured(
    what: str,
    samples: Sequence[float],
    target: float,
    side: Side,
    *,
    unit: str,
    notes: Sequence[str] = (),
) -> Finding:
    """A figure without a baseline, measured several times."""
    found = interval(samples)
    value = f"{figure(found.median)} {unit} ({_range(found, '{}')})"
    met = found.reaches(target, side)
    return Finding(what, "", value, f"{side} {figure(target)} {unit}", met, tuple(notes))


def limited(what: str, value: float, target: float, *, unit: str, notes: Sequence[str] = ()) -> Finding:
    """One figure that must stay below a limit."""
    return single(what, value, target, "at most", unit=unit, notes=notes)


def single(
    what: str, value: float, target: float, side: Side, *, unit: str, notes: Sequence[str] = ()
) -> Finding:
    """One figure of one run, that must reach a target."""
    met = value >= target if side == "at least" else value <= target
    told = f"{side} {figure(target)} {unit}"
    return Finding(what, "", f"{figure(value)} {unit}", told, met, tuple(notes))


def figure(value: float) -> str:
    """A number with three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _range(found: Interval, form: str) -> str:
    low, high = (form.format(figure(v)) if form == "{}" else form.format(v) for v in (found.low, found.high))
    return f"{low} to {high}, {found.coverage:.0%} interval"
