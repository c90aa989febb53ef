"""What the messages of a run use of the budgets of their channels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.content.units import units
from engine.core.calendar import period_of
from engine.policy import Closed, Held, Request, Settings, spent
from engine.simulator.settings import Surroundings


class Spending:
    """Budgets count only where a policy applies, as everything else of `kairos.yaml` that limits messages."""

    def __init__(self, surroundings: Surroundings, settings: Settings) -> None:
        self._installation = surroundings.installation
        self._journeys = surroundings.policies.keys()
        self._settings = settings
        self._used: dict[tuple[str, datetime], int] = {}

    def spend(
        self, request: Request, channel: str, parts: Mapping[str, str], address: str
    ) -> Closed | Held | None:
        """Takes what the message needs; else what becomes of it."""
        own = self._installation.channel(channel)
        budget = own.budget
        if budget is None or request.journey not in self._journeys:
            return None
        needed = units(budget, parts, address, own.signature())
        begins, _ = period_of(request.at, budget.within, self._settings.time_zone)
        used = self._used.get((channel, begins), 0)
        if request.category == "marketing" and used + needed > budget.most:
            return spent(request, budget, needed, self._settings)
        self._used[channel, begins] = used + needed
        return None
