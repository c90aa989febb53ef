"""Who may be written to now: an ordered list of small rules, one verdict per message with a reason.

Pure: everything a rule looks at is handed in, loaded a batch at a time by the caller. A rule judges one
message on one channel and says nothing (`None`), closes that channel with a skip reason, says when it opens
(`Defer`), or holds the message as a whole (`Held`). A rule that does not care about channels answers the same
for each. The order of `RULES` is the order in which reasons win; a new rule is a new file in `rules/`, one
line in that list and one in `docs/policy.md`.

May import `engine.core`.
"""

from engine.policy.decide import RULES, decide
from engine.policy.request import (
    LOOKS,
    Closed,
    Defer,
    Finding,
    Held,
    Profile,
    Request,
    Rule,
    Send,
    Settings,
    Skip,
    Verdict,
    Why,
)
from engine.policy.rules.best_time import looks_by_hour
from engine.policy.rules.budget import spent
from engine.policy.rules.capped import within_caps
from engine.policy.rules.quota import within_quota

__all__ = [
    "LOOKS",
    "RULES",
    "Closed",
    "Defer",
    "Finding",
    "Held",
    "Profile",
    "Request",
    "Rule",
    "Send",
    "Settings",
    "Skip",
    "Verdict",
    "Why",
    "decide",
    "looks_by_hour",
    "spent",
    "within_caps",
    "within_quota",
]
