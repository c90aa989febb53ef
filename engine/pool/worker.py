"""The worker of the pool: its workflows, turns at shards, crowds."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from engine.pool.activities import PoolActivities
from engine.pool.crowd import CrowdActivities, CrowdWorkflow
from engine.pool.workflow import QUEUE, PoolJourney, PoolShard

TURNS: Final = 64
"""Turns at the same time. Most of them only wait for something to happen."""
LAST_BATCH: Final = timedelta(seconds=30)
"""How long a worker that is to stop may take to finish the batches in hand."""


def pool_worker(client: Client, activities: PoolActivities, crowds: CrowdActivities) -> Worker:
    """To be entered as a context."""
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[PoolJourney, PoolShard, CrowdWorkflow],
        activities=[activities.turn, activities.count, crowds.enter, crowds.stop],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=TURNS,
        graceful_shutdown_timeout=LAST_BATCH,
    )
