"""A hundred thousand waits that are over at the same moment, and who waits beside them.

The crowd enters by `enter`, comes to its wait, and is due at one instant; each then gets a message by an
adapter that accepts at once. Meanwhile the waits of two other journeys end one after the other, one in the
pool and one on `workflow`, and each then calls the sink: how late those steps begin is what the crowd costs
others. Every part is up, one process each.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from benchmarks.findings import Finding, figure, limited, single
from benchmarks.flow import Flow, flowing
from benchmarks.lab import Lab
from benchmarks.pool import JOURNEY, directly, emptied, enter
from benchmarks.pool import project as crowd_project
from benchmarks.pool_people import bring
from benchmarks.statistics import percentile

FULL = 100_000
RATE = 5_000.0
LATE = 2.0
PARKED = 1_500
"""Rows a second that are sure to come to their wait: how long the wait must be is worked out from it."""
REST = 20
"""Seconds that the others wait."""
EVERY = 0.25
"""Seconds between two of them, of each journey."""
OTHERS = ("patience", "patience-pool")
STEPS = """
  - {id: rest, wait: {for: LENGTH}}
  - {id: tea, message: {template: spring-tea, channels: [CHANNEL]}}
"""


def project(sink_url: str, length: int) -> dict[str, str]:
    """The crowd's journey with a wait of `length` seconds, and those who wait beside it."""
    files = crowd_project(STEPS.replace("LENGTH", f"{length}s"))
    files["journeys/catalog.yaml"] += "events:\n"
    for journey in OTHERS:
        run_as = "pool" if journey.endswith("pool") else "workflow"
        files["journeys/catalog.yaml"] += f"  {journey}.begun: {{properties: {{number: number}}}}\n"
        files[f"journeys/{journey}.yaml"] = f"""journey: {journey}
run_as: {run_as}
trigger: {{event: {journey}.begun}}
steps:
  - {{id: rest, wait: {{for: {REST}s}}}}
  - {{id: call, webhook: {{url: "{sink_url}/{journey}", body: {{number: trigger.number}}}}}}
"""
    return files


async def run(lab: Lab) -> list[Finding]:
    """The rate of the crowd, and the lateness of the others."""
    size = lab.sized(FULL, 1_000)
    length = REST + 10 + round(size / PARKED)

    def files(sink_url: str) -> dict[str, str]:
        return project(sink_url, length)

    def name(path: str, body: dict[str, Any]) -> str:
        return f"{path.strip('/')}/{int(body['number'])}"

    async with flowing(lab, "due", files, name, pool=1) as flow, directly(flow.parts.database_url) as raw:
        await bring(raw, size)
        entered_at = datetime.now(UTC)
        due_at = entered_at + timedelta(seconds=length)
        await enter(raw, size, at=entered_at)
        # Their waits end from the moment at which the crowd is due, for as long as it may take at the least.
        number = max(20, round(size / RATE / EVERY))
        others = asyncio.create_task(_others(flow, due_at.timestamp() - REST, number))
        parked = await _parked(raw, due_at)
        await asyncio.sleep(max(0.0, due_at.timestamp() - time.time()))
        await emptied(raw, "pool_rows", f"journey = (SELECT number FROM journeys WHERE name = '{JOURNEY}')")
        ended_at = time.time()
        await others
        for journey in OTHERS:
            await flow.sink.counted.reached(journey, number, 120)
        took = ended_at - due_at.timestamp()
        late = {journey: await _late(flow, raw, journey, due_at.timestamp(), ended_at) for journey in OTHERS}
        sent = await raw.fetchval("SELECT count(*) FROM deliveries WHERE state = 'accepted'")
    if sent != size:
        raise AssertionError(f"{size} were due, {sent} were sent")
    return [
        single(
            f"{size:,} waits over at the same moment, until the last has its message",
            size / took,
            RATE,
            "at least",
            unit="a second",
            notes=[
                f"{figure(took)} s; before that they came to their waits in {figure(parked)} s after entering"
            ],
        ),
        *(
            limited(
                f"lateness of another journey's waits meanwhile, {driver}, p95",
                percentile([step for step, _ in late[journey]], 0.95),
                LATE,
                unit="s",
                notes=[
                    f"{len(late[journey])} waits of {REST} s that ended during it, until their next step "
                    f"began; its calls reached the sink p95 "
                    f"{figure(percentile([call for _, call in late[journey]], 0.95))} s late"
                ],
            )
            for journey, driver in zip(OTHERS, ("`workflow`", "`run_as: pool`"), strict=True)
        ),
    ]


async def _others(flow: Flow, first_at: float, number: int) -> None:
    """One of each of the other journeys enters every now and then, from `first_at` on."""
    for place in range(number):
        await asyncio.sleep(max(0.0, first_at + place * EVERY - time.time()))
        for journey in OTHERS:
            event = {
                "userId": f"{journey}-{place}",
                "event": f"{journey}.begun",
                "messageId": f"{journey}-{place}",
                "timestamp": datetime.now(UTC).isoformat(),
                "properties": {"number": place},
            }
            await flow.post("/v1/track", event)


async def _parked(raw: asyncpg.Connection, due_at: datetime) -> float:
    """Seconds until everybody waits; they must be there well before they are due."""
    began = time.perf_counter()
    seconds = due_at.timestamp() - 2 - time.time()
    return await emptied(raw, "pool_rows", "state IS NULL", seconds) - began


async def _late(
    flow: Flow, raw: asyncpg.Connection, journey: str, since: float, until: float
) -> list[tuple[float, float]]:
    """For each wait that ended in the time: seconds until its next step began, and until its call came."""
    rows = await raw.fetch(
        "SELECT (e.trigger->>'number')::float::int AS number, e.entered_at, f.claimed_at "
        "FROM enrolments e JOIN effects f ON f.enrolment_id = e.id WHERE e.journey = $1",
        journey,
    )
    found = []
    for row in rows:
        due = row["entered_at"].timestamp() + REST
        if since <= due <= until:
            came = flow.sink.came[f"{journey}/{row['number']}"]
            found.append((row["claimed_at"].timestamp() - due, came - due))
    if not found:
        raise AssertionError(f"no wait of {journey} ended meanwhile")
    return found
