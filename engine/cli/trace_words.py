"""A trace as lines for the terminal: when, and what happened, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo

from engine.core.commands import Trace
from engine.core.describe import length
from engine.core.plan import Plan
from engine.core.words import in_words


def trace_lines(
    plan: Plan, trace: Iterable[Trace], *, since: datetime | None = None, zone: tzinfo | None = None
) -> Iterator[str]:
    """One line an entry. Instants count from `since` if it is given, else they are shown in `zone` (UTC)."""
    for line in trace:
        if since is not None:
            when = f"{length(line.at - since):>8}"
        else:
            when = f"{line.at.astimezone(zone) if zone else line.at:%Y-%m-%d %H:%M:%S %Z}"
        yield f"{when}  {in_words(plan, line)}"
