"""Resident memory of a journey worker that has its cache full of waiting enrolments, against the one by hand.

Both are processes of their own, started fresh for every figure. Workflows wait from the beginning (no send),
and Temporal keeps them in memory: neither changes what a worker's cache holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import psutil
from temporalio.client import Client

from benchmarks import by_hand
from benchmarks.driver import AT_THE_SAME_TIME
from benchmarks.findings import Finding, compared, figure
from benchmarks.lab import Lab, apply, opened
from engine.core.codec import digest
from engine.core.identity import profile_key
from engine.ingest.starts import Done, StartRow
from engine.language.project import check_project
from engine.temporal.client import TemporalStarter, connect
from tests.integration.processes import Child, Processes, processes

FULL = 2_000
PAIRS = 3
PROJECT = {
    "kairos.yaml": "version: 1\n",
    "journeys/catalog.yaml": "events:\n  park.begun: {properties: {}}\n  park.clicked: {properties: {}}\n",
    "journeys/park.yaml": """journey: park
trigger: {event: park.begun}
steps:
  - {id: look, wait: {for_event: park.clicked, up_to: 1d}}
""",
}


async def run(lab: Lab) -> list[Finding]:
    """MiB of both, with every enrolment cached."""
    size = lab.sized(FULL, 50)
    url = await lab.database("memory")
    ours: list[float] = []
    theirs: list[float] = []
    empty: list[tuple[float, float]] = []
    async with opened(url) as database:
        await apply(database, PROJECT)
    for _ in range(min(lab.pairs, PAIRS)):
        async with lab.temporal("memory", in_memory=True) as server:
            client = await connect(server.address)
            with processes(lab.place("memory"), url, server.address) as parts:
                by_hand_is = await _filled(client, _by_hand_worker(parts), _start_by_hand(client), size)
                ours_is = await _filled(client, parts.journeys(), _start_ours(client), size)
        theirs.append(by_hand_is[1])
        ours.append(ours_is[1])
        empty.append((ours_is[0], by_hand_is[0]))
    before = f"before the first one: {figure(empty[-1][0])} against {figure(empty[-1][1])} MiB"
    each = 1024 * (ours[-1] - empty[-1][0]) / size, 1024 * (theirs[-1] - empty[-1][1]) / size
    return [
        compared(
            f"memory of a journey worker with {size:,} waiting enrolments cached",
            "a worker by hand with as many",
            ours,
            theirs,
            1.5,
            "at most",
            unit="MiB resident",
            notes=[
                f"{before}; {figure(each[0])} against {figure(each[1])} KiB an enrolment",
                f"{len(ours)} pairs only: filling a cache takes long, and the figure hardly varies",
            ],
        )
    ]


def _by_hand_worker(parts: Processes) -> Child:
    words = ["benchmarks.by_hand", "--address", parts.temporal_address]
    return parts.program("by-hand", words, "by hand: ready")


async def _filled(
    client: Client, worker: Child, start: Callable[[], Awaitable[str]], size: int
) -> tuple[float, float]:
    """Resident MiB of the worker when it is empty, and when it has so many in its cache."""
    await asyncio.to_thread(worker.start)
    assert worker.process is not None
    process = psutil.Process(worker.process.pid)
    await asyncio.sleep(2)
    empty = process.memory_info().rss / 2**20
    numbers = iter(range(size))
    last = await asyncio.gather(*(_start_some(start, numbers) for _ in range(AT_THE_SAME_TIME)))
    await asyncio.gather(*(_waits(client, name) for name in last if name is not None))
    await asyncio.sleep(2)
    full = process.memory_info().rss / 2**20
    await asyncio.to_thread(worker.kill)
    return empty, full


async def _start_some(start: Callable[[], Awaitable[str]], numbers: Iterator[int]) -> str | None:
    name = None
    for _ in numbers:
        name = await start()
    return name


async def _waits(client: Client, workflow_id: str) -> None:
    """Until the workflow has come to its timer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(120):
            while True:
                events = (await client.get_workflow_handle(workflow_id).fetch_history()).events
                if any(event.HasField("timer_started_event_attributes") for event in events):
                    return
                await asyncio.sleep(0.2)
    raise AssertionError(f"waited 120 s for {workflow_id} to wait")


def _start_by_hand(client: Client) -> Callable[[], Awaitable[str]]:
    async def start() -> str:
        name = f"by-hand/{uuid.uuid4()}"
        await client.start_workflow(by_hand.Parked.run, name, id=name, task_queue=by_hand.JOURNEYS)
        return name

    return start


def _start_ours(client: Client) -> Callable[[], Awaitable[str]]:
    known = digest(check_project(PROJECT).plans["park"])
    starter = TemporalStarter(client)

    async def start() -> str:
        enrolment_id = str(uuid.uuid4())
        payload = {
            "journey": "park",
            "digest": known,
            "enrolment_id": enrolment_id,
            "key": profile_key("external_id", enrolment_id),
            "trigger_event_id": str(uuid.uuid4()),
            "entered_at": datetime.now(UTC).isoformat(),
            "holdout": False,
        }
        [outcome] = await starter.start([StartRow(f"park/{enrolment_id}", enrolment_id, payload)])
        if not isinstance(outcome, Done):
            raise AssertionError(f"not started: {outcome}")
        return f"park/{enrolment_id}"

    return start
