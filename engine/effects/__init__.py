"""Steps that change something other than a customer's inbox: `update webhook ad_audience enter action`.

An effect is one row, unique by (enrolment, step), and a settled row answers again. `update`, `enter` and
`ad_audience` are done in the transaction that settles them, so they happen once. `webhook` and `action` leave
our database: they are called at least once, always with the row's key, by which the receiver knows a repeat.

May import `engine.delivery` (its ports and facts), `engine.ingest`, `engine.sdk`, and what they may.
"""

from engine.effects.perform import perform
from engine.effects.ports import EffectPorts

__all__ = ["EffectPorts", "perform"]
