"""A crowd in Temporal's UI: one workflow that says how far it is, and the activity that does the work.

The workflow holds nothing: how far a crowd has come stands in its row. It may be cancelled, which lets nobody
else in; terminated, which comes to the same a moment later; or lost, and then it is begun again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

from temporalio import activity, workflow
from temporalio.exceptions import is_cancelled_exception

from engine.ingest.crowds import Crowds
from engine.pool.workflow import HISTORY_LIMIT as HISTORY_LIMIT
from engine.pool.workflow import RETRIES
from engine.store.crowds import Crowd
from engine.temporal.activities import saying_so

CROWD: Final = "Crowd"
ENTER, STOP = "enter_crowd", "stop_crowd"

TURN: Final = 5.0
"""Seconds after which the workflow says how far it is."""
ALIVE: Final = timedelta(seconds=10)
LONGEST: Final = timedelta(minutes=10)


@dataclass
class CrowdInput:
    journey: str
    crowd_id: str


@dataclass
class Came:
    """How far a crowd has come. `total` is None for as long as nobody has counted."""

    status: str
    looked: int = 0
    total: int | None = None
    entered: int = 0
    restarted: int = 0
    refused: dict[str, int] | None = None
    unknown: int = 0
    error: str | None = None

    @property
    def over(self) -> bool:
        return self.status not in ("waiting", "entering")

    def in_words(self) -> str:
        if self.total is None:
            return self.status
        parts = [f"{self.looked:,} of {self.total:,} looked at", f"{self.entered:,} entered"]
        if self.restarted:
            parts.append(f"{self.restarted:,} begun anew")
        parts += [f"{count:,} refused: {reason}" for reason, count in sorted((self.refused or {}).items())]
        if self.unknown:
            parts.append(f"{self.unknown:,} lines led to nobody")
        head = f"{self.status}: " if self.over and self.status != "entered" else ""
        return head + ", ".join(parts) + (f" ({self.error})" if self.error else "")


@workflow.defn(name=CROWD)
class CrowdWorkflow:
    @workflow.run
    async def run(self, given: CrowdInput) -> str:
        """Lets a crowd in, to the last."""
        try:
            while True:
                came = await self._do(ENTER, given, "let them in")
                if came.over:
                    return came.in_words()
                if workflow.info().get_current_history_length() > HISTORY_LIMIT:
                    workflow.continue_as_new(given)
        except BaseException as error:
            if is_cancelled_exception(error):
                await self._do(STOP, given, "let nobody else in")
            raise

    async def _do(self, name: str, given: CrowdInput, summary: str) -> Came:
        came: Came = await workflow.execute_activity(
            name,
            given.crowd_id,
            result_type=Came,
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=ALIVE,
            retry_policy=RETRIES,
            summary=summary,
        )
        workflow.set_current_details(came.in_words())
        return came


class CrowdActivities:
    def __init__(self, crowds: Crowds) -> None:
        self._crowds = crowds

    @activity.defn(name=ENTER)
    async def enter(self, crowd_id: str) -> Came:
        """Lets in slice after slice, for a moment."""
        began = monotonic()
        with saying_so():
            while True:
                found = _came(await self._crowds.advance(crowd_id))
                if found.over or monotonic() - began > TURN or activity.is_worker_shutdown():
                    return found

    @activity.defn(name=STOP)
    async def stop(self, crowd_id: str) -> Came:
        """Lets nobody else in."""
        with saying_so():
            return _came(await self._crowds.stop(crowd_id))


def _came(crowd: Crowd | None) -> Came:
    if crowd is None:
        return Came("cancelled", error="there is no such crowd")
    return Came(
        crowd.status,
        crowd.looked,
        crowd.total,
        crowd.entered,
        crowd.restarted,
        crowd.refused,
        crowd.unknown,
        crowd.error,
    )
