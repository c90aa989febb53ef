"""Enrolments that live long: continue-as-new, plans that come later, and what operators read meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import uuid
from datetime import UTC, datetime

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus

from engine.ingest.starts import Done, StartRow
from engine.temporal.client import TemporalStarter, connect
from engine.temporal.registry import PLANS
from tests.integration.temporal.test_workflow_driver import PLAN, Memory, running, start, until
from tests.replay.cases import CASES
from tests.replay.record import run_case


@pytest.mark.parametrize("cached", [0, 100])
async def test_many_ignored_wakes_continue_as_new_and_nothing_is_lost(
    temporal_address: str, cached: int
) -> None:
    client = await connect(temporal_address)
    [case] = [case for case in CASES if case.name == "continue-as-new"]
    exit, runs = await run_case(client, case, cached=cached)
    assert exit == "completed"
    assert len(runs) > 1
    sizes = [len(json.loads(run)["events"]) for run in runs]
    assert max(sizes) < 3 * (case.history_limit or 0)
    # The click came after the first run: it was taken by a later one, and the message went out once.
    sent = [
        event
        for run in runs
        for event in json.loads(run)["events"]
        if event.get("activityTaskScheduledEventAttributes", {}).get("activityType", {}).get("name") == "send"
    ]
    assert len(sent) == 1


async def test_a_plan_that_is_not_loaded_fails_the_task_and_goes_on_once_it_is(temporal_address: str) -> None:
    client, memory = await connect(temporal_address), Memory()
    enrolment, digest = str(uuid.uuid4()), uuid.uuid4().hex * 2
    payload = {
        "journey": "unpaid-cart",
        "digest": digest,
        "enrolment_id": enrolment,
        "key": "k" * 64,
        "trigger_event_id": "trigger",
        "entered_at": datetime.now(UTC).isoformat(),
    }
    async with running(client, memory):
        row = StartRow(f"unpaid-cart/{enrolment}", enrolment, payload)
        assert await TemporalStarter(client).start([row]) == [Done()]
        handle = client.get_workflow_handle(row.workflow_id)
        await until(lambda: digest in PLANS.wanted())
        await asyncio.sleep(1)
        assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
        PLANS.add(digest, dataclasses.replace(PLAN))
        assert digest not in PLANS.wanted()
        assert await asyncio.wait_for(handle.result(), 60) == "completed"
        history = await handle.fetch_history()
    assert any(e.HasField("workflow_task_failed_event_attributes") for e in history.events)
    assert memory.closed[enrolment].exit == "completed"


async def test_the_details_say_in_words_what_it_waits_for(temporal_address: str) -> None:
    client, memory = await connect(temporal_address), Memory()
    async with running(client, memory):
        _, handle = await start(client)
        await until(lambda: memory.sent)
        await asyncio.sleep(0.5)
        details = (
            await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        ).current_details
        assert details.startswith("`wait` waits for message.clicked until 20")
        await asyncio.wait_for(handle.result(), 30)
