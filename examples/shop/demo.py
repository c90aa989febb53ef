"""`make demo`: a month of a shop, live on Temporal, and compared with `kairos simulate`.

    make demo              the month of May in about three minutes
    make demo KEEP=1       the same, and everything stays up until Ctrl-C
    DRIVER=pool            the journeys run as rows in batches, not as a workflow each
    DEMO_DAYS=3            only the first days of May
    DEMO_HOURS=8           so many hours of the shop pass in a second
    DEMO_GRACE=2           so many seconds later than they are due do timers fire
    DEMO_PICTURE=FILE      keep the report as a picture (SVG)

Exit code 0: the live run and the simulation agree in every enrolment. 1: they differ. 2: it could not be run.
"""

from __future__ import annotations

from pathlib import Path

from examples.running.demo import Story, run
from examples.shop.stream import DAYS, MAY, messages

STORY = Story(
    command="make demo",
    folder=Path(__file__).parent,
    source="shop",
    start=MAY,
    days=DAYS,
    most_days=DAYS,
    hours=8.0,
    of="the shop",
    people="visitors",
    messages=lambda days: messages(MAY, days),
    look_at="unpaid-cart",
)

if __name__ == "__main__":
    run(STORY)
