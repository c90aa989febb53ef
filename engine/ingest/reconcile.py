"""Compares open enrolments with what really runs, because operators act in Temporal's UI as well.

An enrolment that was terminated there ends as `cancelled`. One that nobody runs, although its start was
played a while ago, is started again with all its wakes: sends that were settled answer with what they
came to, so nothing goes out twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

from engine.ingest.close import end_enrolments
from engine.store import enrolments, starts
from engine.store.database import in_transaction
from engine.store.enrolments import End

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

Standing = Literal["running", "completed", "cancelled", "terminated", "failed"]
"""What a runner says of a workflow; one that it does not know is left out of its answer."""

SETTLED_AFTER: Final = timedelta(minutes=1)
"""Younger enrolments are left alone: their start, or the record of their end, may be under way."""
PAGE: Final = 200


class Runner(Protocol):
    """Who runs enrolments."""

    async def standing(self, workflow_ids: Sequence[str]) -> Mapping[str, Standing]:
        """How these workflows stand; unknown ones are left out. Raises if it cannot tell."""
        ...


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one round did, by enrolment id."""

    closed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    looked_at: int = 0


async def reconcile(database: AsyncEngine, runner: Runner, now: datetime) -> Reconciled:
    """One round over all live enrolments. `now` is logical: the instant at which the terminated end."""
    closed: list[str] = []
    restarted: list[str] = []
    looked_at, after = 0, ""
    while True:
        async with database.connect() as connection:
            page = await enrolments.settled_live(connection, SETTLED_AFTER, after, PAGE)
        if not page:
            return Reconciled(tuple(closed), tuple(restarted), looked_at)
        after = page[-1][0]
        looked_at += len(page)
        standing = await runner.standing([workflow for _, workflow in page])
        lost = [enrolment for enrolment, workflow in page if workflow not in standing]
        ended: list[End] = []
        for enrolment, workflow in page:
            exit = _EXITS.get(standing.get(workflow, "running"))
            if exit is not None:
                ended.append(End(enrolment, exit, now, f"workflow {standing[workflow]}"))
        if lost or ended:
            await in_transaction(database, lambda c, e=ended, o=lost: _write(c, e, o, now))  # type: ignore[misc]
            log.warning("%s enrolments had ended outside, %s had lost their workflow", len(ended), len(lost))
        closed += [one.enrolment_id for one in ended]
        restarted += lost


_EXITS: Final[dict[str, Literal["cancelled", "failed"]]] = {
    "terminated": "cancelled",
    "cancelled": "cancelled",
    "failed": "failed",
    # Closed without a record of it: the workflow could not say how. It must not stay live for ever.
    "completed": "failed",
}


async def _write(
    connection: AsyncConnection, ended: Sequence[End], lost: Sequence[str], now: datetime
) -> None:
    await end_enrolments(connection, ended, now)
    if lost:
        await starts.play_again(connection, lost)
