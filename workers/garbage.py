"""How often a process looks for garbage."""

from __future__ import annotations

import gc
from typing import Final

COLLECT_AFTER: Final = 20_000
"""New objects between two looks for garbage; Python's own default is 700."""


def collect_less() -> None:
    """Looks for garbage less often, and never again at what was there from the start.

    Batches of events and answers of the database are many small objects without cycles; looking through them
    again and again is up to a third of what taking events in costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
