"""The worker that runs enrolments: one place for its settings.

Workflow code runs without the SDK's sandbox. The sandbox executes the workflow's module anew for every
enrolment and goes through its importer at every task, which is a good part of what an enrolment costs in time
and memory; what it would catch is caught here in other ways: the core imports no clock, no randomness and no
I/O (a contract of import-linter, ruff's banned names and a test guard it), the workflow's file reads the time
only from `workflow.now()`, and replayed histories in `tests/replay` guard every change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from engine.temporal.queues import JOURNEYS
from engine.temporal.workflow import EnrolmentWorkflow

CACHED: Final = 2_000
"""Enrolments kept in memory between two of their tasks."""
TASKS: Final = 16
ACTIVITIES: Final = 50


def journeys_worker(client: Client, activities: Sequence[Callable[..., Any]]) -> Worker:
    """A worker for enrolments and for what is done beside them; to be entered as a context."""
    return Worker(
        client,
        task_queue=JOURNEYS,
        workflows=[EnrolmentWorkflow],
        activities=activities,
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=CACHED,
        max_concurrent_workflow_tasks=TASKS,
        max_concurrent_activities=ACTIVITIES,
        max_concurrent_local_activities=ACTIVITIES,
    )
