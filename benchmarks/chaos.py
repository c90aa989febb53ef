"""`kill -9` under load, and the ledger of what came of it.

    python -m benchmarks.chaos [--customers 1500] [--victim workers|temporal|all]

A burst of customers comes in through the HTTP intake; each enters a journey of a split and a webhook to a
local sink, which is a process of its own. When about a third has arrived at the sink, the victim is killed
and started again after a second: the workers (the one of journeys and the one of sends, at the same moment),
or Temporal. Some calls are under way when the workers go: the sink has taken them and not answered.

What counts in the end: every customer entered once, every enrolment ended, every webhook taken exactly once
by its `webhook-id`. A call that a killed worker had just made is made again with the same id, which is what
the id is for; the sink counts such raw repeats apart.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.applying import apply_project
from engine.language.project import check_project
from engine.store import keys
from engine.store.database import open_database, upgrade
from engine.store.embedded import EmbeddedPostgres
from engine.temporal.server import RunningServer, port_near, start_server
from tests.integration.processes import Child, Processes, processes

Victim = Literal["workers", "temporal"]
"""`workers`: the one of journeys and the one of sends, at the same moment."""
Say = Callable[[str], None]
FULL = 1_500
BATCH = 100
UNANSWERED = 5
"""Calls that are under way when the workers are killed."""
PAUSE = 1.0
JOURNEY = "burst"


@dataclass
class Ledger:
    """What came of one run."""

    customers: int
    killed: list[tuple[str, int]] = field(default_factory=list)
    """Who was killed, and how many the sink had taken by then."""
    exits: dict[str, int] = field(default_factory=dict)
    """Enrolments by exit; `live` for those that have not ended."""
    effects: dict[str, int] = field(default_factory=dict)
    """Webhooks by state."""
    called_again: int = 0
    """Webhooks that took more than one claim."""
    sink: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    duplicates: int = 0
    """Customers whom the sink knows under more than one `webhook-id`, or rows beyond one a customer."""
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return (
            self.exits == {"completed": self.customers}
            and self.effects == {"done": self.customers}
            and self.sink["unique"] == self.customers
            and not (self.lost or self.duplicates or self.sink["changed"])
        )

    def lines(self) -> list[str]:
        def listed(counts: dict[str, int]) -> str:
            return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"

        return [
            f"killed           {', '.join(f'{who} when the sink had {n:,}' for who, n in self.killed)}",
            f"customers        {self.customers:,}",
            f"enrolments       {listed(self.exits)}",
            f"webhooks         {listed(self.effects)}; {self.called_again:,} took more than one claim",
            f"sink             {self.sink['unique']:,} distinct ids, {self.sink['repeats']:,} raw repeats "
            f"of the same id, {self.sink['changed']:,} of them changed",
            f"lost             {self.lost:,}",
            f"duplicates       {self.duplicates:,}",
            f"seconds          {self.seconds:.1f}",
        ]


def project(sink_url: str) -> dict[str, str]:
    """Event, split, webhook: the shape that other engines were measured with."""
    return {
        "kairos.yaml": "version: 1\n",
        "journeys/catalog.yaml": "events:\n  burst.begun:\n    properties: {number: number}\n",
        f"journeys/{JOURNEY}.yaml": f"""journey: {JOURNEY}
trigger: {{event: burst.begun}}
steps:
  - id: halves
    split:
      variants:
        - {{name: left, weight: 50, steps: [{{id: call-left, webhook: {{url: "{sink_url}/left"}}}}]}}
        - {{name: right, weight: 50, steps: [{{id: call-right, webhook: {{url: "{sink_url}/right"}}}}]}}
""",
    }


async def run(
    database_url: str,
    folder: Path,
    *,
    customers: int,
    victims: Sequence[Victim],
    deadline: float = 600.0,
    say: Say = lambda _: None,
) -> Ledger:
    """One run on a migrated database; everything else is started here and ended with it.

    The first victim is killed when a third has arrived; a second one at two thirds.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    temporal = await start_server(folder / "temporal", say=say)
    database = open_database(database_url)
    try:
        with processes(folder, database_url, temporal.address) as parts:
            return await _run(parts, database, temporal, customers, victims, deadline, say)
    finally:
        await database.dispose()
        await asyncio.to_thread(temporal.stop)


async def _run(
    parts: Processes,
    database: AsyncEngine,
    temporal: RunningServer,
    customers: int,
    victims: Sequence[Victim],
    deadline: float,
    say: Say,
) -> Ledger:
    sink_port, api_port = port_near(0), port_near(0)
    sink_url = f"http://127.0.0.1:{sink_port}"
    files = project(sink_url)
    await apply_project(database, check_project(files), files)
    async with database.begin() as connection:
        token = (await keys.create(connection, "chaos", "ingest")).token
    journeys, send = parts.journeys(), parts.send("webhook")
    started = [
        parts.program("sink", ["channels.testing.sink", "--port", str(sink_port)], '"url"'),
        parts.api(api_port),
        parts.router(),
        journeys,
        send,
    ]
    for child in started:
        child.start(wait=False)
    for child in started:
        await asyncio.to_thread(child.wait_until_ready)
    ledger = Ledger(customers)
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=30) as client:
        burst = asyncio.create_task(_burst(client, f"http://127.0.0.1:{api_port}", token, customers))
        for number, victim in enumerate(victims, start=1):
            taken = await _taken(client, sink_url, customers * number // 3, deadline)
            if victim == "workers":
                # So that the kill surely falls into some calls: taken by the sink, and not answered.
                hang = {"kind": "hang", "times": UNANSWERED}
                (await client.post(f"{sink_url}/behave", json=hang)).raise_for_status()
                taken = await _taken(client, sink_url, taken + 2 * UNANSWERED, deadline)
            ledger.killed.append((victim, taken))
            say(f"the sink has {taken:,}: kill -9 of {victim}")
            await _kill(victim, [journeys, send], temporal)
        await burst
        await _ended(database, customers, deadline, parts)
        ledger.seconds = time.monotonic() - began
        found = (await client.get(f"{sink_url}/ledger")).json()
    await _count(database, ledger, found)
    return ledger


async def _burst(client: httpx.AsyncClient, api_url: str, token: str, customers: int) -> None:
    now = datetime.now(UTC).isoformat()
    messages = [
        {
            "type": "track",
            "userId": f"customer-{number}",
            "event": "burst.begun",
            "messageId": f"burst-{number}",
            "timestamp": now,
            "properties": {"number": number},
        }
        for number in range(customers)
    ]
    for start in range(0, customers, BATCH):
        answer = await client.post(
            f"{api_url}/v1/batch", json={"batch": messages[start : start + BATCH]}, auth=(token, "")
        )
        answer.raise_for_status()


async def _taken(client: httpx.AsyncClient, sink_url: str, wanted: int, deadline: float) -> int:
    until = time.monotonic() + deadline
    while True:
        found = int((await client.get(f"{sink_url}/ledger?ids=0")).json()["unique"])
        if found >= wanted:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"waited {deadline:.0f} s for {wanted} webhooks at the sink; it has {found}")
        await asyncio.sleep(0.05)


async def _kill(victim: Victim, workers: list[Child], temporal: RunningServer) -> None:
    if victim == "temporal":
        await asyncio.to_thread(temporal.kill)
        await asyncio.sleep(PAUSE)
        await temporal.start_again()
        return
    for worker in workers:
        worker.kill()
    await asyncio.sleep(PAUSE)
    for worker in workers:
        worker.start(wait=False)


async def _ended(database: AsyncEngine, customers: int, deadline: float, parts: Processes) -> None:
    until = time.monotonic() + deadline
    while True:
        async with database.connect() as connection:
            rows = await connection.execute(
                sa.text("SELECT status, count(*) AS n FROM enrolments GROUP BY status")
            )
            standing = {row.status: row.n for row in rows}
        if standing.get("ended", 0) >= customers and not standing.get("live"):
            return
        if time.monotonic() > until:
            tails = "\n\n".join(f"{c.name}:\n{c.tail()}" for c in parts.children.values())
            raise AssertionError(
                f"waited {deadline:.0f} s for {customers} ends; there are {standing}\n{tails}"
            )
        await asyncio.sleep(0.2)


async def _count(database: AsyncEngine, ledger: Ledger, taken: dict[str, Any]) -> None:
    async def counts(text: str) -> dict[str, int]:
        return {str(name): int(count) for name, count in await connection.execute(sa.text(text))}

    async with database.connect() as connection:
        ledger.exits = await counts("SELECT coalesce(exit, 'live'), count(*) FROM enrolments GROUP BY 1")
        ledger.effects = await counts("SELECT state, count(*) FROM effects GROUP BY 1")
        ledger.called_again = (await counts("SELECT 'n', count(*) FROM effects WHERE attempts > 1"))["n"]
        rows = await connection.execute(
            sa.text(
                "SELECT f.key, p.external_id FROM effects f JOIN enrolments e ON e.id = f.enrolment_id "
                "JOIN profiles p ON p.id = e.profile_id"
            )
        )
        owners = {row.key: row.external_id for row in rows}
    ids: dict[str, int] = taken.pop("ids")
    ledger.sink = taken
    reached = [owners[key] for key in ids if key in owners]
    ledger.lost = ledger.customers - len(set(reached))
    ledger.duplicates = len(ids) - len(set(reached)) + len(owners) - len(set(owners.values()))


async def _all(customers: int, victims: list[Victim], say: Say) -> list[Ledger]:
    folder = Path(tempfile.mkdtemp(prefix="kairos-chaos-"))
    os.environ["KAIROS_HOME"] = str(folder)
    postgres = EmbeddedPostgres(folder)
    ledgers = []
    try:
        await asyncio.to_thread(postgres.ensure)
        for victim in victims:
            url = await asyncio.to_thread(postgres.create_database, f"chaos_{victim}")
            database = open_database(url)
            await upgrade(database)
            await database.dispose()
            say(f"{customers:,} customers, kill -9 of {victim}")
            ledgers.append(await run(url, folder / victim, customers=customers, victims=[victim], say=say))
            for line in ledgers[-1].lines():
                print(line, flush=True)
            print(flush=True)
    finally:
        await asyncio.to_thread(postgres.stop, "immediate")
        shutil.rmtree(folder, ignore_errors=True)
    return ledgers


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description="kill -9 under load.")
    parser.add_argument("--customers", type=int, default=FULL)
    parser.add_argument("--victim", choices=("workers", "temporal", "all"), default="all")
    given = parser.parse_args(arguments)
    victims: list[Victim] = ["workers", "temporal"] if given.victim == "all" else [given.victim]
    ledgers = asyncio.run(
        _all(given.customers, victims, lambda line: print(line, file=sys.stderr, flush=True))
    )
    if all(ledger.clean for ledger in ledgers):
        print(f"0 lost, 0 duplicates in {len(ledgers)} runs")
        return 0
    print("NOT CLEAN: see the ledger above")
    return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Temporal's SDK may crash while the interpreter takes itself down, which would spoil the exit code.
    os._exit(code)
