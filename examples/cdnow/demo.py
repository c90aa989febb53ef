"""`make demo-dormancy`: half a year of a shop's real customers, and who was reached before they went quiet.

    make demo-dormancy             January to June 1998 in about two minutes
    make demo-dormancy KEEP=1      the same, and everything stays up until Ctrl-C
    DRIVER=pool                    the journeys run as rows in batches, not as a workflow each
    DEMO_DAYS=60                   only so many days of 1998
    DEMO_HOURS=48                  so many hours of the shop pass in a second
    DEMO_GRACE=2                   so many seconds later than they are due do timers fire
    DEMO_PICTURE=FILE              keep the report as a picture (SVG)

The customers and what they bought in 1997 are imported from files, stages and RFM are computed as of New
Year, then the library's own journeys run over 1998.

Exit code 0: the live run and the simulation agree in every enrolment. 1: they differ. 2: it could not be run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from examples.cdnow import report
from examples.cdnow.stream import (
    DAYS,
    SINCE,
    SOURCE,
    before,
    history,
    messages,
    write_customers,
    write_orders,
)
from examples.running.demo import Story, run
from examples.running.live import DemoError
from workers.dev import Servers

ROOT: Final = Path(__file__).resolve().parents[2]
"""The library is a project: its `nearing-dormancy` is what runs."""
AS_OF: Final = SINCE.isoformat()


async def bring_in(found: Servers, say: Callable[[str], None]) -> None:
    """Imports customers and the orders of 1997, and tells what they were like at the beginning of 1998."""
    kairos = _Kairos(found, say)
    with tempfile.TemporaryDirectory(prefix="kairos-cdnow-") as folder:
        people, orders = Path(folder) / "customers.csv", Path(folder) / "orders-1997.csv"
        await asyncio.to_thread(write_customers, people)
        await asyncio.to_thread(write_orders, orders, before())
        began_at = datetime(1997, 1, 1, tzinfo=SINCE.tzinfo).isoformat()
        await kairos("import", "customers", str(people), "--source", SOURCE, "--at", began_at)
        await kairos("import", "events", str(orders), "--event", "order.paid", "--source", SOURCE)
    await kairos("recompute", "stages", "--as-of", AS_OF, "--afresh")
    await kairos("rfm", "show", "--as-of", AS_OF)
    async with found.database.connect() as connection:
        say(await report.stages(connection))


class _Kairos:
    """Runs commands as one would type them."""

    def __init__(self, found: Servers, say: Callable[[str], None]) -> None:
        url = found.database.url.render_as_string(hide_password=False)
        self._environment = {**os.environ, "DATABASE_URL": url, "KAIROS_LOG": "WARNING"}
        self._say = say

    async def __call__(self, *words: str) -> None:
        shown = " ".join(word.rpartition("/")[2] for word in words)
        self._say(f"$ kairos {shown}")
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("kairos"),
            *words,
            env=self._environment,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        self._say(out.decode().rstrip())
        if process.returncode:
            raise DemoError(f"kairos {words[0]} ended with {process.returncode}: {err.decode().strip()}")


STORY = Story(
    command="make demo-dormancy",
    folder=ROOT,
    source=SOURCE,
    start=SINCE,
    days=DAYS,
    most_days=DAYS,
    hours=48.0,
    of="the shop",
    people="customers",
    messages=messages,
    look_at="nearing-dormancy",
    before=bring_in,
    history=history,
    after=report.reached,
)

if __name__ == "__main__":
    run(STORY)
