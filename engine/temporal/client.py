"""The client's side of the `workflow` driver: connecting, starting and waking enrolments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from engine.core.driving import Scale
from engine.core.identity import customer_token
from engine.ingest.reconcile import Standing
from engine.ingest.starts import Done, Gone, Outcome, Retry, StartRow, WakeRow
from engine.temporal.codec import data_converter
from engine.temporal.payloads import EnrolmentInput
from engine.temporal.queues import JOURNEYS, SIGNAL, WORKFLOW

JOURNEY_ATTRIBUTE = SearchAttributeKey.for_keyword("KairosJourney")
VERSION_ATTRIBUTE = SearchAttributeKey.for_keyword("KairosVersion")
CUSTOMER_ATTRIBUTE = SearchAttributeKey.for_keyword("KairosCustomer")


class TemporalUnreachable(Exception):
    """No Temporal server answers at the address. The message says which and what to do."""


async def connect(address: str, *, namespace: str = "default", wait: float = 10.0) -> Client:
    """A client of the server at `address` (`host:port`), tried for `wait` seconds.

    Payloads are encrypted if the environment holds a key (`engine.temporal.codec`); workers made with the
    client use the same converter.

    Raises:
        TemporalUnreachable: nothing answered in that time.
        KeyMistake: the key in the environment is malformed.
    """
    converter = data_converter()
    deadline = asyncio.get_running_loop().time() + wait
    while True:
        try:
            return await Client.connect(address, namespace=namespace, data_converter=converter)
        except (RPCError, RuntimeError, OSError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise TemporalUnreachable(
                    f"no Temporal server answers at {address} ({error}). "
                    "Start one with `kairos dev`, or set TEMPORAL_ADDRESS to the one you run."
                ) from error
            await asyncio.sleep(0.3)


def enrolment_input(payload: Mapping[str, Any]) -> EnrolmentInput:
    """The input from an outbox row's JSON."""
    scale = payload.get("scale")
    return EnrolmentInput(
        journey=payload["journey"],
        digest=payload["digest"],
        enrolment_id=payload["enrolment_id"],
        key=payload["key"],
        trigger_event_id=payload["trigger_event_id"],
        entered_at=payload["entered_at"],
        holdout=bool(payload.get("holdout", False)),
        variants=dict(payload.get("variants") or {}),
        scale=Scale(**scale) if scale else None,
        inbox=list(payload.get("inbox") or ()),
    )


class TemporalStarter:
    """Starts and wakes enrolments on a Temporal server. Every call may be repeated."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, rows: Sequence[StartRow]) -> list[Outcome]:
        """Starts enrolments; one that runs or has ended already is woken with its `inbox` instead."""
        return list(await asyncio.gather(*map(self._start, rows)))

    async def wake(self, rows: Sequence[WakeRow]) -> list[Outcome]:
        """Hands inputs to running enrolments."""
        return list(await asyncio.gather(*map(self._wake, rows)))

    async def _start(self, row: StartRow) -> Outcome:
        given = enrolment_input({**row.payload, "inbox": list(row.inbox)})
        try:
            await self._client.start_workflow(
                WORKFLOW,
                given,
                id=row.workflow_id,
                task_queue=JOURNEYS,
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(JOURNEY_ATTRIBUTE, given.journey),
                        SearchAttributePair(VERSION_ATTRIBUTE, given.digest[:12]),
                        SearchAttributePair(CUSTOMER_ATTRIBUTE, customer_token(given.key)),
                    ]
                ),
                static_summary=f"{given.journey} {given.digest[:12]}"
                + (" (holdout)" if given.holdout else ""),
            )
        except WorkflowAlreadyStartedError:
            if row.inbox:
                return await self._wake(WakeRow(row.workflow_id, row.enrolment_id, row.inbox))
        except RPCError as error:
            return _later(error)
        return Done()

    async def _wake(self, row: WakeRow) -> Outcome:
        handle = self._client.get_workflow_handle(row.workflow_id)
        try:
            await handle.signal(SIGNAL, [dict(item) for item in row.items])
        except RPCError as error:
            return Gone() if error.status == RPCStatusCode.NOT_FOUND else _later(error)
        return Done()

    async def standing(self, workflow_id: str) -> dict[str, Any] | None:
        """The enrolment's state and the trace that is not in the database yet; None if it does not answer."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            found: dict[str, Any] = await asyncio.wait_for(handle.query("state"), 5)
        except (RPCError, TimeoutError):
            return None
        return found


class TemporalRunner:
    """How workflows stand, for the reconciler."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def standing(self, workflow_ids: Sequence[str]) -> dict[str, Standing]:
        """How these workflows stand; unknown ones are left out.

        Raises:
            RPCError: the server cannot tell.
        """
        found = await asyncio.gather(*map(self._one, workflow_ids))
        return {name: how for name, how in zip(workflow_ids, found, strict=True) if how is not None}

    async def _one(self, workflow_id: str) -> Standing | None:
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        return _STANDING.get(description.status) if description.status is not None else "running"


def _later(error: RPCError) -> Retry:
    busy = error.status in (RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNAVAILABLE)
    return Retry(f"{error.status.name}: {error.message}"[:300], busy=busy)


_STANDING: dict[WorkflowExecutionStatus, Standing] = {
    WorkflowExecutionStatus.RUNNING: "running",
    WorkflowExecutionStatus.CONTINUED_AS_NEW: "running",
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "terminated",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.TIMED_OUT: "failed",
}
