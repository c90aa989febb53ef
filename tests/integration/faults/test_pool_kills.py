"""A crowd in the pool, `kill -9` in the middle of a batch, and a ledger that adds up to the crowd."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.testing.sink import FakeHttpSink
from channels.testing.smtp_server import FakeSmtpServer
from engine.cli.applying import apply_project
from engine.language.project import check_project
from engine.store import keys
from engine.store.database import open_database, upgrade
from engine.store.embedded import EmbeddedPostgres
from engine.temporal.server import RunningServer, port_near, start_server
from tests.integration.faults import crowd
from tests.integration.faults.trial import until
from tests.integration.processes import Child, Processes, processes

CROWD = 20_000
HANGING = 3
"""Calls that are under way for sure when the worker is killed."""
PAUSE = 0.5
LOOK = 0.4
"""Seconds between two looks: counting a crowd takes the database a while."""
DEADLINE = 150.0


@dataclass
class Trial:
    """A whole installation with a crowd in it."""

    database: AsyncEngine
    parts: Processes
    sink: FakeHttpSink
    server: FakeSmtpServer
    entered: int = 0

    async def enter(self, size: int) -> None:
        first, self.entered = self.entered, self.entered + size
        await crowd.enter_crowd(self.database, first, size)

    async def reached(self, count: int) -> None:
        async def holds() -> bool:
            return await crowd.settled(self.database) >= count

        await self.until(f"{count:,} customers who are served", holds)

    async def over(self) -> None:
        async def holds() -> bool:
            return await crowd.ended(self.database) >= self.entered

        await self.until(f"{self.entered:,} enrolments to end", holds)

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        async def there() -> bool:
            try:
                return await holds()
            except Exception:  # the database is being killed
                return False

        try:
            await until(what, there, DEADLINE, every=LOOK)
        except AssertionError as error:
            tails = "\n\n".join(f"{c.name}:\n{c.tail()}" for c in self.parts.children.values())
            raise AssertionError(f"{error}; {await crowd.settled(self.database):,} are\n{tails}") from None

    async def adds_up(self) -> crowd.Ledger:
        ledger = await crowd.take_stock(self.database, self.entered, self.sink, self.server)
        print("\n".join(ledger.lines()), file=sys.stderr)
        assert not ledger.wrong, "\n".join(ledger.lines())
        return ledger


@asynccontextmanager
async def trial(database_url: str, temporal_address: str, folder: Path) -> AsyncIterator[Trial]:
    database = open_database(database_url)
    try:
        async with FakeHttpSink(keep=0) as sink, FakeSmtpServer() as server:
            files = crowd.project(sink.url, server.port)
            await apply_project(database, check_project(files), files)
            with processes(folder, database_url, temporal_address) as parts:
                yield Trial(database, parts, sink, server)
    finally:
        await database.dispose()


async def started(*children: Child) -> None:
    for child in children:
        child.start(wait=False)
    for child in children:
        await asyncio.to_thread(child.wait_until_ready)


async def hang_in_a_mail(trial: Trial) -> None:
    """Mails that the server has taken and not answered: nobody can know whether they were sent."""
    before = len(trial.server.mails)
    trial.server.behave("message", "hang", times=HANGING)

    async def hangs() -> bool:
        return len(trial.server.mails) > before and await crowd.under_way(trial.database) > 0

    await trial.until("a mail under way", hangs)


async def hang_in_a_call(trial: Trial) -> None:
    before = trial.sink.ledger.requests
    trial.sink.behave("hang", times=HANGING)

    async def hangs() -> bool:
        return trial.sink.ledger.requests > before + HANGING and await crowd.under_way(trial.database) > 0

    await trial.until("calls under way", hangs)


@pytest.mark.timeout(400)
async def test_a_crowd_is_accounted_for_when_the_pool_is_killed_in_the_middle_of_a_batch(
    database_url: str, temporal_address: str, tmp_path: Path
) -> None:
    async with trial(database_url, temporal_address, tmp_path) as running:
        pool, router = running.parts.pool(), running.parts.router()
        await started(pool, router)
        for number, hang in enumerate((hang_in_a_mail, hang_in_a_call)):
            await running.enter(CROWD)
            await running.reached(CROWD * number + CROWD // 4)
            await hang(running)
            left = await crowd.under_way(running.database)
            pool.kill()
            assert await crowd.settled(running.database) < running.entered, "it was over before the kill"
            print(f"killed with {left} under way", file=sys.stderr)
            await asyncio.sleep(PAUSE)
            pool.start(wait=False)
            await running.over()
            ledger = await running.adds_up()
            assert ledger.unknown, "no mail was in doubt: the kill came between two batches"
            assert ledger.tries


# --- everything at random -------------------------------------------------------------------------------

ROUNDS = 20
JOINING = 200
"""Customers of a round who come in by the API, while parts are killed."""


@dataclass
class Victims:
    """What can be killed; each comes back after a moment."""

    random: Random
    children: list[Child]
    postgres: EmbeddedPostgres
    temporal: RunningServer

    async def kill_one(self) -> str:
        names = [child.name for child in self.children]
        name = self.random.choice([*names, "pool", "postgres", "temporal"])
        pause = self.random.uniform(0, 3)
        if name == "postgres":
            await asyncio.to_thread(self.postgres.kill)
            await asyncio.sleep(pause)
            await asyncio.to_thread(self.postgres.ensure)
        elif name == "temporal":
            await asyncio.to_thread(self.temporal.kill)
            await asyncio.sleep(pause)
            await self.temporal.start_again()
        else:
            child = next(child for child in self.children if child.name == name)
            child.kill()
            await asyncio.sleep(pause)
            child.start(wait=False)
        return name

    async def revive(self) -> None:
        """A part that ended because what it needs was away is started again, as its supervisor would."""
        for child in self.children:
            if not child.runs():
                child.start(wait=False)


async def join(client: httpx.AsyncClient, first: int, count: int) -> None:
    """Customers join by the API, each asked until it is taken."""
    for number in range(first, first + count):
        told = {
            "userId": f"j{number}",
            "messageId": f"join-{number}",
            "event": "crowd.joined",
            "timestamp": datetime.now(UTC).isoformat(),
            "properties": {"number": number},
        }
        while True:
            try:
                if (await client.post("/v1/track", json=told)).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_twenty_crowds_are_accounted_for_whatever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("KILL_SEED", "0")) or Random().randrange(1, 10**6)
    random = Random(seed)
    print(f"KILL_SEED={seed}", file=sys.stderr)
    home = Path(tempfile.mkdtemp(prefix="kairos-kills-"))
    monkeypatch.setenv("KAIROS_HOME", str(home))
    postgres = EmbeddedPostgres(home)
    await asyncio.to_thread(postgres.ensure)
    temporal = await start_server(tmp_path / "temporal")
    try:
        url = await asyncio.to_thread(postgres.create_database, "kills")
        database = open_database(url)
        await upgrade(database)
        async with database.begin() as connection:
            token = (await keys.create(connection, "kills", "ingest", source="kills")).token
        await database.dispose()
        async with trial(url, temporal.address, tmp_path) as running:
            port = port_near(0)
            children = [
                running.parts.pool(),
                running.parts.pool("pool-2"),
                running.parts.router(),
                running.parts.api(port),
            ]
            await started(*children)
            victims = Victims(random, children, postgres, temporal)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", auth=(token, ""), timeout=10
            ) as client:
                for number in range(ROUNDS):
                    await round_of_kills(running, victims, client, number)
    finally:
        await asyncio.to_thread(temporal.stop)
        await asyncio.to_thread(postgres.stop, "immediate")
        shutil.rmtree(home, ignore_errors=True)


async def round_of_kills(running: Trial, victims: Victims, client: httpx.AsyncClient, number: int) -> None:
    entering = asyncio.create_task(running.enter(CROWD))
    joining = asyncio.create_task(join(client, JOINING * number, JOINING))
    running.entered += JOINING
    killed = []
    for _ in range(victims.random.randint(1, 4)):
        await asyncio.sleep(victims.random.uniform(0.5, 6))
        killed.append(await victims.kill_one())
        await victims.revive()
    print(f"round {number}: killed {', '.join(killed)}", file=sys.stderr)
    async with asyncio.timeout(DEADLINE):
        while not (joining.done() and entering.done()):
            await victims.revive()
            await asyncio.wait([joining, entering], timeout=1)
    await asyncio.gather(joining, entering)
    await victims.revive()
    await running.over()
    await running.adds_up()
