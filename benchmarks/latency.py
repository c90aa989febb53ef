"""From an event at the API to its message at a local sink, with no wait in the journey; what it is made of.

Every process runs on this machine, so their clocks are one. The parts come from records that are kept anyway:
the answer of the API, the router's mark on the event, Temporal's history of the enrolment, the arrival at the
sink.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import sqlalchemy as sa

from benchmarks.findings import Finding, figure, limited
from benchmarks.flow import Flow, flowing
from benchmarks.lab import Lab
from benchmarks.statistics import percentile

FULL = 150
RATE = 5
WARM = 10
LIMIT, POOL_LIMIT = 250.0, 150.0
Driver = Literal["workflow", "pool"]
PARTS = (
    "intake, until it is acknowledged",
    "router, until it takes the event",
    "router's transaction and start of the workflow",
    "first workflow task, until the send is scheduled",
    "the send waits for its worker",
    "claim, decision, rendering, HTTP",
)
POOL_PARTS = (
    "intake, until it is acknowledged",
    "router, until it takes the event",
    "the rest of the router's transaction, and until the pool takes the row and claims the message",
    "decision, rendering, HTTP",
)


def project(sink_url: str, driver: Driver = "workflow") -> dict[str, str]:
    """Event, message by webhook."""
    return {
        "kairos.yaml": f"""version: 1
channels:
  webhook: {{adapter: webhook, settings: {{url: "{sink_url}/message", secret: "${{SECRET}}"}}}}
""",
        "journeys/catalog.yaml": "events:\n  note.made:\n    properties: {number: number}\n",
        "journeys/note.yaml": f"""journey: note
run_as: {driver}
category: transactional
trigger: {{event: note.made}}
steps:
  - {{id: tell, message: {{template: note, channels: [webhook]}}}}
""",
        "templates/note/webhook.json.j2": '{"number": {{ trigger.number | default(0) }} }\n',
    }


async def run(lab: Lab) -> list[Finding]:
    """The 95th percentile at five events a second, and the medians of its parts."""
    return await _trickle(lab, "workflow", LIMIT)


async def pool(lab: Lab) -> list[Finding]:
    """The same with `run_as: pool`."""
    return await _trickle(lab, "pool", POOL_LIMIT)


async def _trickle(lab: Lab, driver: Driver, limit: float) -> list[Finding]:
    count = lab.sized(FULL, 15)
    pooled = driver == "pool"

    def name(_: str, body: dict[str, Any]) -> str:
        return f"message/{int(body['number'])}"

    def files(sink_url: str) -> dict[str, str]:
        return project(sink_url, driver)

    async with flowing(lab, "latency", files, name, pool=1 if pooled else 0) as flow:
        for number in range(-WARM, 0):
            await _send(flow, number)
            await flow.sink.counted.reached("message", WARM + number + 1, 60)
        began = time.time()
        answered: dict[int, tuple[float, float]] = {}

        async def one(number: int) -> None:
            sent = time.time()
            await _send(flow, number)
            answered[number] = sent, time.time()

        tasks = []
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / RATE - time.time()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        await flow.sink.counted.reached("message", WARM + count, 120)
        took = [1_000 * (flow.sink.came[f"message/{n}"] - answered[n][0]) for n in range(count)]
        parts = await (_pool_parts if pooled else _parts)(flow, answered)
    p50, p95 = percentile(took, 0.5), percentile(took, 0.95)
    names = POOL_PARTS if pooled else PARTS
    made_of = "; ".join(
        f"{part} {figure(percentile(times, 0.5))} ms" for part, times in zip(names, parts, strict=True)
    )
    return [
        limited(
            f"event in → message at a local sink, {RATE} a second, {'`run_as: pool`, ' if pooled else ''}p95",
            p95,
            limit,
            unit="ms",
            notes=[
                f"{count} events: p50 {figure(p50)} ms, p95 {figure(p95)} ms, longest {figure(max(took))} ms",
                f"made of (medians): {made_of}",
            ],
        )
    ]


async def _send(flow: Flow, number: int) -> None:
    event = {
        "userId": f"customer-{number}",
        "event": "note.made",
        "messageId": f"note-{number}",
        "timestamp": datetime.now(UTC).isoformat(),
        "properties": {"number": number},
    }
    await flow.post("/v1/track", event)


async def _parts(flow: Flow, answered: dict[int, tuple[float, float]]) -> list[list[float]]:
    """Milliseconds of each part, for each event."""
    async with flow.database.connect() as connection:
        rows = await connection.execute(
            sa.text(
                "SELECT e.message_id, e.routed_at, n.workflow_id FROM events e "
                "JOIN enrolments n ON n.trigger_event_id = e.event_id"
            )
        )
        known = {str(row.message_id): (row.routed_at, row.workflow_id) for row in rows}
    parts: list[list[float]] = [[] for _ in PARTS]
    for number, (sent, acknowledged) in answered.items():
        routed_at, workflow_id = known[f"note-{number}"]
        begun, scheduled, started = await _steps(flow, workflow_id)
        came = flow.sink.came[f"message/{number}"]
        instants = [sent, acknowledged, routed_at.timestamp(), begun, scheduled, started, came]
        for part, (earlier, later) in zip(parts, pairwise(instants), strict=True):
            part.append(1_000 * (later - earlier))
    return parts


async def _pool_parts(flow: Flow, answered: dict[int, tuple[float, float]]) -> list[list[float]]:
    """As `_parts`; the transaction that claims a message is the one that marks it `sending`."""
    async with flow.database.connect() as connection:
        rows = await connection.execute(
            sa.text(
                "SELECT e.message_id, e.routed_at, d.claimed_at FROM events e "
                "JOIN enrolments n ON n.trigger_event_id = e.event_id "
                "JOIN deliveries d ON d.enrolment_id = n.id"
            )
        )
        known = {str(row.message_id): (row.routed_at.timestamp(), row.claimed_at.timestamp()) for row in rows}
    parts: list[list[float]] = [[] for _ in POOL_PARTS]
    for number, (sent, acknowledged) in answered.items():
        came = flow.sink.came[f"message/{number}"]
        instants = [sent, acknowledged, *known[f"note-{number}"], came]
        for part, (earlier, later) in zip(parts, pairwise(instants), strict=True):
            part.append(1_000 * (later - earlier))
    return parts


async def _steps(flow: Flow, workflow_id: str) -> tuple[float, float, float]:
    """When the workflow began, and when its send was scheduled and started."""
    history = await flow.client.get_workflow_handle(workflow_id).fetch_history()
    at = {"begun": 0.0, "scheduled": 0.0, "started": 0.0}
    for event in history.events:
        instant = event.event_time.ToMicroseconds() / 1_000_000
        if event.HasField("workflow_execution_started_event_attributes"):
            at["begun"] = instant
        elif event.HasField("activity_task_scheduled_event_attributes"):
            at["scheduled"] = instant
        elif event.HasField("activity_task_started_event_attributes"):
            at["started"] = instant
    return at["begun"], at["scheduled"], at["started"]
