"""A burst of customers, event → split → webhook, with `run_as: pool` and on `workflow`.

One installation with every part up has the journey twice, once for each driver. Counted is from the first
event at the API to the last call at the sink. Small bursts in turns make the ratio; the full one is played
once on each.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import sqlalchemy as sa

from benchmarks import burst
from benchmarks.findings import Finding, compared, figure, limited, single
from benchmarks.flow import Flow, flowing
from benchmarks.lab import Lab, until_no_row

FULL, PAIR = burst.FULL, burst.PAIR
WARM = 30
TIMES = 10.0
Driver = Literal["pool", "workflow"]
DRIVERS: tuple[Driver, ...] = ("pool", "workflow")


def project(sink_url: str) -> dict[str, str]:
    """The burst's journey for each driver."""
    files = burst.project(sink_url)
    journey = files["journeys/burst.yaml"]
    return {
        "kairos.yaml": files["kairos.yaml"],
        "journeys/catalog.yaml": """events:
  burst.begun: {properties: {number: number, round: text}}
  burst.pooled: {properties: {number: number, round: text}}
""",
        "journeys/burst.yaml": journey,
        "journeys/burst-pool.yaml": journey.replace(
            "journey: burst\n", "journey: burst-pool\nrun_as: pool\n"
        ).replace("burst.begun", "burst.pooled"),
    }


async def run(lab: Lab) -> list[Finding]:
    """How many times faster the pool takes a burst, and when its first call comes."""
    size, pair = lab.sized(FULL, 60), lab.sized(PAIR, 30)
    rates: dict[Driver, list[float]] = {driver: [] for driver in DRIVERS}

    def name(_: str, body: dict[str, Any]) -> str:
        return str(body["name"])

    async with flowing(lab, "poolburst", project, name, pool=1) as flow:
        for driver in DRIVERS:
            await _play(flow, driver, f"warm-{driver}", WARM)
        for number in range(lab.pairs):
            for driver in DRIVERS if number % 2 else reversed(DRIVERS):
                took, _ = await _play(flow, driver, f"{driver}{number}", pair)
                rates[driver].append(pair / took)
        full = {driver: await _play(flow, driver, f"full-{driver}", size) for driver in DRIVERS}
    (ours, first), (theirs, their_first) = full["pool"], full["workflow"]
    return [
        compared(
            "burst with `run_as: pool`: event → split → webhook",
            "the same on `workflow`",
            rates["pool"],
            rates["workflow"],
            TIMES,
            "at least",
            unit="calls a second",
            notes=[f"bursts of {pair}, from the first event at the API to the last call at the sink"],
        ),
        single(
            f"{size:,} at once with `run_as: pool`, against `workflow`; one run each",
            theirs / ours,
            TIMES,
            "at least",
            unit="times as fast",
            notes=[f"{figure(size / ours)} against {figure(size / theirs)} calls a second"],
        ),
        limited(
            f"first call of a burst of {size:,} with `run_as: pool`",
            first,
            burst.FIRST_SEND,
            unit="s",
            notes=[f"on `workflow` {figure(their_first)} s"],
        ),
    ]


async def _play(flow: Flow, driver: Driver, name: str, count: int) -> tuple[float, float]:
    """Seconds until the last call and until the first, from the first event on; then waits for quiet."""
    began = time.time()
    await burst.post(flow, name, count, "burst.pooled" if driver == "pool" else "burst.begun")
    await flow.sink.counted.reached(name, count, 600)
    came = [at for who, at in flow.sink.came.items() if who.startswith(f"{name}/")]
    if driver == "workflow":
        await flow.quiet("burst")
    else:
        await until_no_row(flow.database, sa.text("SELECT 1 FROM pool_rows LIMIT 1"))
    return max(came) - began, min(came) - began
