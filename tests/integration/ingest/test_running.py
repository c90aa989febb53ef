"""The router's process as a whole: woken by events, shared by several, surviving a broken connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from engine.ingest.intake import accept
from engine.ingest.starts import Done, Outcome, StartRow, WakeRow
from engine.store.database import is_outage
from tests.integration.ingest.world import World
from workers.router import run_router

HELLO = """
journey: hello
trigger: {event: cart.updated, reenter: never}
steps: [{id: pause, wait: {for: 1d}}]
"""


@dataclass
class Runs:
    started: list[str] = field(default_factory=list)

    async def start(self, rows: Sequence[StartRow]) -> Sequence[Outcome]:
        self.started += [row.enrolment_id for row in rows]
        return [Done() for _ in rows]

    async def wake(self, rows: Sequence[WakeRow]) -> Sequence[Outcome]:
        return [Done() for _ in rows]


async def send(world: World, *customers: str) -> None:
    messages = [
        {"type": "track", "userId": name, "event": "Cart Updated", "messageId": name} for name in customers
    ]
    await accept(world.database, "web", messages, datetime.now(UTC))


async def until(starter: Runs, count: int, within: float) -> None:
    async with asyncio.timeout(within):
        while len(starter.started) < count:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.005)


async def test_two_routers_share_the_work_and_start_everybody_once(world: World) -> None:
    await world.apply(HELLO)
    starter, stop = Runs(), asyncio.Event()
    routers = [asyncio.create_task(run_router(world.database, starter, stop=stop)) for _ in range(2)]
    await asyncio.gather(*(send(world, *(f"c{n}" for n in range(i, 100, 5))) for i in range(5)))
    await until(starter, 100, within=20)
    stop.set()
    await asyncio.gather(*routers)
    assert len(set(starter.started)) == len(starter.started) == 100
    assert {e.id for e in await world.enrolments("hello")} >= set(starter.started)


async def test_an_event_wakes_the_router_at_once(world: World) -> None:
    await world.apply(HELLO)
    starter, stop = Runs(), asyncio.Event()
    router = asyncio.create_task(run_router(world.database, starter, stop=stop))
    await asyncio.sleep(0.5)
    began = datetime.now(UTC)
    await send(world, "c1")
    await until(starter, 1, within=1.5)  # polling alone would take up to two seconds, twice
    assert datetime.now(UTC) - began < timedelta(seconds=1.5)
    stop.set()
    await router


async def send_again_if_cut(world: World, user: str) -> None:
    """As clients do that are told 503: a cut connection may be found out only when it is used."""
    for tries_left in (4, 3, 2, 1, 0):
        try:
            return await send(world, user)
        except Exception as error:
            if not tries_left or not is_outage(error):
                raise
            await asyncio.sleep(0.2)


async def test_the_router_goes_on_after_all_its_connections_were_cut(world: World) -> None:
    await world.apply(HELLO)
    starter, stop = Runs(), asyncio.Event()
    router = asyncio.create_task(run_router(world.database, starter, stop=stop))
    await send(world, "c1")
    await until(starter, 1, within=10)
    async with world.database.connect() as connection:
        await connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    await send_again_if_cut(world, "c2")
    await until(starter, 2, within=15)
    stop.set()
    await router
    async with world.database.connect() as connection:
        broken = await connection.execute(sa.text("SELECT count(*) FROM events WHERE error IS NOT NULL"))
        assert broken.scalar_one() == 0
