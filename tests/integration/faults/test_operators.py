"""What people do while customers are under way: apply a new plan, and act in Temporal's own UI."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, ResetWorkflowExecutionRequest

from channels.testing.sink import FakeHttpSink
from engine.ingest import reconcile as reconciling
from engine.ingest.reconcile import reconcile
from engine.store.enrolments import Enrolment
from engine.temporal.client import TemporalRunner
from tests.integration.faults.trial import (
    START,
    assert_one_row_a_step,
    assert_undisturbed,
    path_project,
    replay,
    standing_at,
    track,
    until,
)
from tests.integration.harness import Kairos, kairos


def placed(user: str, minutes: int) -> dict[str, Any]:
    at = timedelta(minutes=minutes)
    return track(user, "order.placed", at, f"placed-{user}", order_id=f"o-{user}", total=120)


async def test_a_plan_applied_meanwhile_is_for_those_who_enter_after_it(
    database_url: str, temporal_address: str
) -> None:
    async with FakeHttpSink() as sink:
        before = path_project(sink.url)
        last = "- {id: bye, message: {template: note, channels: [webhook]}}"
        assert last in before["journeys/path.yaml"]
        journey = before["journeys/path.yaml"].replace(last, "- {id: end, stop: {reason: done}}")
        after = before | {"journeys/path.yaml": journey}
        early = [placed("early-1", 1), placed("early-2", 2)]
        late = [placed("late-1", 181), placed("late-2", 182)]
        async with kairos(database_url, temporal_address, start=START, speed=7_200, files=before) as running:
            await replay(running, early)
            await standing_at(running, "paid", 2)
            await running.apply(after)
            await replay(running, late)
            ended = await running.ended(4, 90)
            await assert_undisturbed(running.database, before, early, others=2)
            await assert_undisturbed(running.database, after, late, others=2)
        oldest = sorted(ended, key=lambda e: e.entered_at)
        assert [e.exit for e in oldest] == ["completed", "completed", "stopped", "stopped"]


async def test_what_operators_do_in_temporal_leaves_an_exit_or_no_trace(
    database_url: str, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled and terminated end as `cancelled`; reset and deleted go on as if nothing had been."""
    monkeypatch.setattr(reconciling, "SETTLED_AFTER", timedelta(0))
    harmless = [placed("reset", 1), placed("deleted", 2)]
    ending = [placed("cancelled", 3), placed("terminated", 4)]
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        async with kairos(database_url, temporal_address, start=START, speed=7_200, files=files) as running:
            await replay(running, harmless + ending)
            live = await standing_at(running, "paid", 4)
            by_user = {str(e.trigger["order_id"]).removeprefix("o-"): e for e in live}
            await handle(running, by_user["cancelled"]).cancel()
            await handle(running, by_user["terminated"]).terminate("tidying up")
            await reset(running, by_user["reset"])
            await delete(running, by_user["deleted"])

            async def noticed() -> bool:
                runner = TemporalRunner(running.client)
                await reconcile(running.database, runner, running.clock.now())
                found = {e.id: e for e in await running.enrolments()}
                return all(found[by_user[user].id].exit for user in ("cancelled", "terminated"))

            await until("the two that were ended to be noticed", noticed)
            ended = {e.id: e for e in await running.ended(4, 60)}
            await assert_undisturbed(running.database, files, harmless, others=2)
            await assert_one_row_a_step(running.database)
        assert [ended[by_user[user].id].exit for user in ("cancelled", "terminated")] == ["cancelled"] * 2
        assert (len(sink.ledger.ids), sink.ledger.repeats) == (2 * 4 + 2 * 2, 0)


def handle(running: Kairos, enrolment: Enrolment) -> Any:
    assert enrolment.workflow_id is not None
    return running.client.get_workflow_handle(enrolment.workflow_id)


async def reset(running: Kairos, enrolment: Enrolment) -> None:
    """To its first workflow task: everything after it is done again."""
    description = await handle(running, enrolment).describe()
    await running.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=running.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=description.id, run_id=description.run_id),
            reason="trying again",
            workflow_task_finish_event_id=4,
            request_id=f"reset-{datetime.now(UTC).timestamp()}",
        )
    )


async def delete(running: Kairos, enrolment: Enrolment) -> None:
    """As after a loss of Temporal's own data: nobody runs this enrolment any more."""
    execution = WorkflowExecution(workflow_id=handle(running, enrolment).id)
    await running.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=running.client.namespace, workflow_execution=execution)
    )

    async def gone() -> bool:
        runner = TemporalRunner(running.client)
        return not await runner.standing([execution.workflow_id])

    # Temporal ends it before it forgets it; seen in between it would rightly count as terminated.
    await until("Temporal to forget the deleted workflow", gone)
