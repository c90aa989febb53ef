"""Records the histories of `cases` and `pool_cases`: `python -m tests.replay.record [NAME…]`.

Only for what is new. A recorded history is a promise to enrolments under way: when one no longer replays,
the workflow is to be mended, not the history.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from engine.ingest.starts import Done, StartRow, WakeRow
from engine.temporal import workflow
from engine.temporal.client import TemporalStarter, connect
from engine.temporal.queues import JOURNEYS, channel_queue
from engine.temporal.registry import PLANS
from engine.temporal.server import start_server
from tests.replay.cases import CASES, PLANS_BY_NAME, Answers, Hands, Recorded
from tests.replay.pool_cases import POOL_CASES, run_pool_case

HISTORIES = Path(__file__).parent / "histories"
MUST_FAIL = "tampered"
START = datetime(2026, 3, 27, 8, tzinfo=UTC)


@asynccontextmanager
async def _workers(client: Client, answers: Answers, cached: int) -> AsyncIterator[None]:
    journeys = Worker(
        client,
        task_queue=JOURNEYS,
        workflows=[workflow.EnrolmentWorkflow],
        activities=[answers.ask, answers.catch_up, answers.close, answers.perform],
        max_cached_workflows=cached,
        # The limit of a history is lowered for some cases, which a sandbox would not see.
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    sends = [
        Worker(client, task_queue=channel_queue(name), activities=[answers.send, answers.perform])
        for name in ("sms", "email", "webhook")
    ]
    async with journeys, sends[0], sends[1], sends[2]:
        yield


async def run_case(client: Client, case: Recorded, *, cached: int = 100) -> tuple[str, list[str]]:
    """Runs one case to its end; its exit, and the JSON of the history of each of its runs."""
    for name, plan in PLANS_BY_NAME.items():
        PLANS.add(name, plan)
    answers, enrolment = Answers(case.settle), str(uuid.uuid4())
    workflow_id = f"{case.plan.journey}/{enrolment}"
    handle = client.get_workflow_handle(workflow_id)
    starter = TemporalStarter(client)
    payload: dict[str, Any] = {
        "journey": case.plan.journey,
        "digest": case.plan.journey,
        "enrolment_id": enrolment,
        "key": "k" * 64,
        "trigger_event_id": "trigger-1",
        "entered_at": (START if case.speed else datetime.now(UTC)).isoformat(),
    }
    if case.speed:
        payload["scale"] = {
            "epoch_logical": START.isoformat(),
            "epoch_wall": datetime.now(UTC).isoformat(),
            "speed": case.speed,
            "grace_seconds": 0.5,
        }

    async def wake(items: Sequence[dict[str, Any]]) -> None:
        assert await starter.wake([WakeRow(workflow_id, enrolment, tuple(items))]) == [Done()]

    async def cancel() -> None:
        await handle.cancel()

    before = workflow.HISTORY_LIMIT
    workflow.HISTORY_LIMIT = case.history_limit or before
    try:
        async with _workers(client, answers, cached):
            assert await starter.start([StartRow(workflow_id, enrolment, payload)]) == [Done()]
            await case.act(Hands(answers, wake, cancel))
            exit = str(await asyncio.wait_for(handle.result(), 60))
    finally:
        workflow.HISTORY_LIMIT = before
    assert await _status(client, workflow_id) == WorkflowExecutionStatus.COMPLETED
    return exit, await _runs(client, workflow_id)


async def _runs(client: Client, workflow_id: str) -> list[str]:
    """The JSON of the history of each run, the first one first."""
    description = await client.get_workflow_handle(workflow_id).describe()
    runs, run_id = [], description.raw_description.workflow_execution_info.first_run_id
    while run_id:
        run = client.get_workflow_handle(workflow_id, run_id=run_id)
        history = await run.fetch_history()
        runs.append(json.dumps({**history.to_json_dict(), "workflowId": workflow_id}))
        last = history.events[-1]
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return runs


async def _status(client: Client, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await client.get_workflow_handle(workflow_id).describe()).status


def _anonymous(text: str) -> str:
    """Without what tells of the machine that recorded it: its name, its folders."""
    text = re.sub(r'"identity": "[^"]*"', '"identity": "recorder"', text)
    return re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', text)


async def record(names: Sequence[str]) -> None:
    server = await start_server(None)
    try:
        client = await connect(server.address)
        for case in CASES:
            if names and case.name not in names:
                continue
            exit, runs = await run_case(client, case)
            assert exit == case.exit, f"{case.name} ended by {exit}, not by {case.exit}"
            _keep(case.name, runs)
        for pool_case in POOL_CASES:
            if not names or pool_case.name in names:
                _keep(pool_case.name, await _runs(client, await run_pool_case(client, pool_case)))
    finally:
        server.stop()
    tamper()


def _keep(name: str, runs: Sequence[str]) -> None:
    for number, run in enumerate(runs, start=1):
        stem = name if len(runs) == 1 else f"{name}.{number}"
        text = _anonymous(json.dumps(json.loads(run), indent=1))
        (HISTORIES / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
        print(f"recorded {stem}", flush=True)


def tamper() -> None:
    """One history in which an effect stands where the message was: it must never replay."""
    text = (HISTORIES / "every-command.json").read_text(encoding="utf-8")
    history = json.loads(text)
    for event in history["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes")
        if scheduled and scheduled["activityType"]["name"] == "send":
            scheduled["activityType"]["name"] = "perform"
            break
    (HISTORIES / f"{MUST_FAIL}.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    HISTORIES.mkdir(exist_ok=True)
    asyncio.run(record(sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # the SDK now and then crashes while Python ends
