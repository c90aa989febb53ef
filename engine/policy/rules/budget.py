"""`budget`: what the installation spends on this channel is spent.

Asked last, once the message is rendered: a text message costs as many units as it has segments. What is
transactional goes whatever is left, and counts.
"""

from __future__ import annotations

from engine.core.calendar import period_of
from engine.core.limits import Budget
from engine.policy.request import Closed, Held, Request, Settings


def spent(request: Request, budget: Budget, units: int, settings: Settings) -> Closed | Held:
    """What becomes of a message for which nothing is left."""
    _, ends = period_of(request.at, budget.within, settings.time_zone)
    saw = {"most": budget.most, "within": budget.within, "needs": units, "free_at": ends.isoformat()}
    if budget.then == "next_channel":
        return Closed("budget", saw)
    if budget.then == "defer" and request.may_wait(ends, request.policy.max_defer):
        return Held("budget", ends, saw)
    return Held("budget", saw=saw)
