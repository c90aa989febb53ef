"""A burst of customers: event, split, webhook; against the same workflow by hand; and who waits beside it.

The one by hand is started straight from this process, 48 at a time, and has no intake, no router, no database
and no close. The full burst is played once on each side; the ratio with its interval comes from smaller
bursts in turns, on the same servers and with the same workers up.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from temporalio.client import Client

from benchmarks import by_hand
from benchmarks.driver import AT_THE_SAME_TIME
from benchmarks.findings import Finding, compared, figure, limited
from benchmarks.flow import Flow, flowing
from benchmarks.lab import Lab
from benchmarks.statistics import percentile

FULL, PAIR = 3_000, 300
BATCH = 100
WAITERS = 100
FIRST_SEND = 5.0
LATE = 2.0


def project(sink_url: str) -> dict[str, str]:
    """The burst's journey, and another one that waits meanwhile."""
    return {
        "kairos.yaml": "version: 1\n",
        "journeys/catalog.yaml": """events:
  burst.begun: {properties: {number: number, round: text}}
  wait.begun: {properties: {number: number}}
""",
        "journeys/burst.yaml": f"""journey: burst
trigger: {{event: burst.begun}}
steps:
  - id: halves
    split:
      variants:
        - name: left
          weight: 50
          steps: [{{id: call-left, webhook: {{url: "{sink_url}/left", body: {{name: trigger.round}}}}}}]
        - name: right
          weight: 50
          steps: [{{id: call-right, webhook: {{url: "{sink_url}/right", body: {{name: trigger.round}}}}}}]
""",
        "journeys/patience.yaml": f"""journey: patience
trigger: {{event: wait.begun}}
steps:
  - {{id: rest, wait: {{for: 20s}}}}
  - id: call
    webhook: {{url: "{sink_url}/waited", body: {{name: "'waited'", number: trigger.number}}}}
""",
    }


async def run(lab: Lab) -> list[Finding]:
    """The rate of a burst, its first send, and the lateness of another journey's waits."""
    size, pair = lab.sized(FULL, 60), lab.sized(PAIR, 30)
    ours: list[float] = []
    theirs: list[float] = []

    def name(path: str, body: dict[str, Any]) -> str:
        if path == "/waited":
            return f"waited/{int(body['number'])}"
        return str(body.get("name") or body["customer"])

    async with flowing(lab, "burst", project, name) as flow:
        hand = flow.parts.program(
            "by-hand", ["benchmarks.by_hand", "--address", flow.parts.temporal_address], "by hand: ready"
        )
        await asyncio.to_thread(hand.start)
        await _ours(flow, "warm", 30)
        await _by_hand(flow, "warmhand", 30)
        for number in range(lab.pairs):
            theirs.append(pair / (await _by_hand(flow, f"hand{number}", pair))[0])
            ours.append(pair / (await _ours(flow, f"ours{number}", pair))[0])
        their_full, their_first = await _by_hand(flow, "handful", size)
        our_full, our_first, late, arrivals = await _with_waiters(flow, size)
    told = (
        f"{size:,} at once, one run each: {figure(size / our_full)} a second against "
        f"{figure(size / their_full)} by hand; first send after {figure(our_first)} s "
        f"({figure(their_first)} s)"
    )
    sinks = f"their calls reached the sink p50 {figure(percentile(arrivals, 0.5))} s, "
    sinks += f"p95 {figure(percentile(arrivals, 0.95))} s after the wait was over"
    return [
        compared(
            "burst: event → split → webhook",
            "the workflow by hand: split by hash, webhook; no intake, no database, no record of the end",
            ours,
            theirs,
            0.8,
            "at least",
            unit="calls a second",
            notes=[f"bursts of {pair}, from the first event to the last call at the sink", told],
        ),
        limited(f"first send of a burst of {size:,}", our_first, FIRST_SEND, unit="s"),
        limited(
            "lateness of another journey's waits during that burst, p95",
            percentile(late, 0.95),
            LATE,
            unit="s",
            notes=[f"{len(late)} waits of 20 s that ended during it: until their next step began; {sinks}"],
        ),
    ]


async def _ours(flow: Flow, name: str, count: int) -> tuple[float, float]:
    """Seconds until the last call and until the first, from the first event on; then waits for quiet."""
    began = time.time()
    await post(flow, name, count)
    return await _taken(flow, name, count, began)


async def post(flow: Flow, name: str, count: int, event: str = "burst.begun") -> None:
    """Sends so many events as fast as the API takes them; `name` is the round's."""
    now = datetime.now(UTC).isoformat()
    events = [
        {
            "type": "track",
            "userId": f"{name}-{number}",
            "event": event,
            "messageId": f"{name}-{number}",
            "timestamp": now,
            "properties": {"number": number, "round": f"{name}/{number}"},
        }
        for number in range(count)
    ]
    for start in range(0, count, BATCH):
        await flow.post("/v1/batch", {"batch": events[start : start + BATCH]})


async def _by_hand(flow: Flow, name: str, count: int) -> tuple[float, float]:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            call = by_hand.Call(f"{name}/{number}", flow.sink.url)
            await flow.client.start_workflow(
                by_hand.SplitAndCall.run, call, id=f"by-hand/{name}/{number}", task_queue=by_hand.JOURNEYS
            )

    began = time.time()
    await asyncio.gather(*(work() for _ in range(AT_THE_SAME_TIME)))
    return await _taken(flow, name, count, began)


async def _taken(flow: Flow, name: str, count: int, began: float) -> tuple[float, float]:
    await flow.sink.counted.reached(name, count, 600)
    came = [at for who, at in flow.sink.came.items() if who.startswith(f"{name}/")]
    await flow.quiet()
    return max(came) - began, min(came) - began


async def _with_waiters(flow: Flow, size: int) -> tuple[float, float, list[float], list[float]]:
    """The full burst while another journey's waits end; how late these were, and when their calls came."""
    for number in range(WAITERS):
        event = {
            "userId": f"waiter-{number}",
            "event": "wait.begun",
            "messageId": f"waiter-{number}",
            "timestamp": datetime.now(UTC).isoformat(),
            "properties": {"number": number},
        }
        await flow.post("/v1/track", event)
    # They came in over some seconds; the burst begins well before the first of them is due.
    began = time.time()
    await post(flow, "full", size)
    took, first = await _taken(flow, "full", size, began)
    await flow.sink.counted.reached("waited", WAITERS, 120)
    late, arrivals = [], []
    for number, workflow_id in (await _waiters(flow)).items():
        due, went_on = await _wait_of(flow.client, workflow_id)
        if due >= began:
            late.append(went_on - due)
            arrivals.append(flow.sink.came[f"waited/{number}"] - due)
    if not late:
        raise AssertionError("no wait ended during the burst")
    return took, first, late, arrivals


async def _waiters(flow: Flow) -> dict[int, str]:
    """Workflow ids of those who wait, by number."""
    async with flow.database.connect() as connection:
        rows = await connection.execute(
            sa.text("SELECT trigger->>'number', workflow_id FROM enrolments WHERE journey = 'patience'")
        )
        return {int(float(number)): workflow_id for number, workflow_id in rows.tuples()}


async def _wait_of(client: Client, workflow_id: str) -> tuple[float, float]:
    """When the waiter's timer was due, and when its next step was scheduled."""
    due = went_on = 0.0
    for event in (await client.get_workflow_handle(workflow_id).fetch_history()).events:
        instant = event.event_time.ToMicroseconds() / 1_000_000
        if event.HasField("timer_started_event_attributes"):
            length = event.timer_started_event_attributes.start_to_fire_timeout
            due = instant + length.ToTimedelta() / timedelta(seconds=1)
        elif event.HasField("activity_task_scheduled_event_attributes"):
            went_on = instant
    return due, went_on
