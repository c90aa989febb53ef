"""The `workflow` driver against the same journey written by hand: send, wait for an event, send.

All in one process, in turns, on one Temporal server: by hand, ours with its database work stubbed out, ours
with it. A run starts every enrolment, waits until each has sent its first message, signals each, and ends
with the last end. No result is polled: activities count themselves.

Ours with the database: enrolments are made by intake and router before the clock starts (that part is
measured by `burst`); counted is what the driver does: claim, decide, render, mark, send, settle and close.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from benchmarks import by_hand
from benchmarks.findings import Finding, compared
from benchmarks.lab import Counted, Lab, apply, opened
from channels import Message
from channels.outbox import OutboxAdapter
from engine.core import wire
from engine.core.codec import digest
from engine.core.identity import profile_key
from engine.core.inputs import EventSeen, Settled
from engine.delivery.ports import DeliveryPorts
from engine.ingest.intake import accept
from engine.ingest.router import Router
from engine.ingest.starts import Done, StartRow, WakeRow
from engine.language.project import check_project
from engine.store import starts
from engine.temporal.activities import JourneyActivities, SendActivities
from engine.temporal.client import TemporalStarter, connect
from engine.temporal.payloads import Result, Work
from engine.temporal.queues import CLOSE, SEND, channel_queue
from engine.temporal.registry import PLANS
from engine.temporal.worker import journeys_worker
from workers.live import Live, LiveClock
from workers.send import AT_ONCE

FULL = 60
AT_THE_SAME_TIME = 48
"""Starts and signals under way, as the engine's own player has them."""
CHANNEL = "sms"
STUB = "00000000"
"""How the ids of enrolments begin that no database knows."""
PROJECT = {
    "kairos.yaml": "version: 1\nchannels:\n  sms: {adapter: outbox}\n",
    "journeys/catalog.yaml": "events:\n  rate.begun:\n    properties: {number: number}\n"
    "  rate.clicked:\n    properties: {number: number}\n",
    "journeys/rate.yaml": """journey: rate
category: transactional
trigger: {event: rate.begun}
steps:
  - {id: first, message: {template: hello, channels: [sms]}}
  - {id: look, wait: {for_event: rate.clicked, up_to: 1d}}
  - {id: second, message: {template: hello, channels: [sms]}}
""",
    "templates/hello/sms.text.j2": "Hello, number {{ trigger.number | default(0) }}\n",
}
Play = Callable[[int], Awaitable[float]]
"""Plays so many enrolments from start to end; returns the seconds they took."""


async def run(lab: Lab) -> list[Finding]:
    """The rate of the driver, with its database work and without."""
    size = lab.sized(FULL, 8)
    rates: dict[str, list[float]] = {"hand": [], "stubbed": [], "ours": []}
    async with _stands(lab) as players:
        for play in players.values():
            await play(min(size, 20))
        order = list(players)
        for number in range(lab.pairs):
            for name in order[number % 3 :] + order[: number % 3]:
                rates[name].append(size / await players[name](size))
    hand = "the same journey by hand: 2 activities on a queue of their own, 1 local one, no database"
    return [
        compared(
            "`workflow` driver, send, wait, send; our database work counted",
            hand,
            rates["ours"],
            rates["hand"],
            0.8,
            "at least",
            unit="enrolments a second",
            notes=[f"{size} enrolments a run; started, signalled, finished; {AT_THE_SAME_TIME} at a time"],
        ),
        compared(
            "the same, our database work stubbed out",
            hand,
            rates["stubbed"],
            rates["hand"],
            0.95,
            "at least",
            unit="enrolments a second",
        ),
    ]


async def history(lab: Lab) -> list[Finding]:
    """How many events the history of a parked enrolment has."""
    ours: list[float] = []
    theirs: list[float] = []
    async with lab.temporal("history") as server:
        client = await connect(server.address)
        counted = Counted()
        async with _engine(client, counted, None) as (stubbed, _), _by_hand(client, counted) as hand:
            for number in range(1, max(2, lab.pairs) + 1):
                theirs.append(await _parked(client, await hand.park(number)))
                ours.append(await _parked(client, await stubbed.park(number)))
    return [
        compared(
            "history events of one parked enrolment",
            "the one by hand",
            ours,
            theirs,
            1.2,
            "at most",
            unit="events",
            notes=["both have sent one message, and wait for an event or a day"],
        )
    ]


async def _parked(client: Client, workflow_id: str) -> float:
    """The number of its events, once it waits: the last of them is the timer's start."""
    handle = client.get_workflow_handle(workflow_id)
    for _ in range(100):
        found = (await handle.fetch_history()).events
        if found and found[-1].HasField("timer_started_event_attributes"):
            return float(len(found))
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited 10 s for {workflow_id} to wait")


# --- the three players -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _stands(lab: Lab) -> AsyncIterator[dict[str, Play]]:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.temporal("driver"))
        client = await connect(server.address)
        database = await stack.enter_async_context(opened(await lab.database("driver")))
        await apply(database, PROJECT)
        counted = Counted()
        hand = await stack.enter_async_context(_by_hand(client, counted))
        stubbed, ours = await stack.enter_async_context(_engine(client, counted, database))
        assert ours is not None
        yield {"hand": hand.play, "stubbed": stubbed.play, "ours": ours.play}


@dataclass
class _Player:
    """Prepares a run of so many (untimed), then plays it."""

    name: str
    counted: Counted
    prepare: Callable[[int], Awaitable[Sequence[Any]]]
    start: Callable[[Any], Awaitable[None]]
    wake: Callable[[Any], Awaitable[None]]
    id_of: Callable[[Any], str]

    async def play(self, count: int) -> float:
        given = await self.prepare(count)
        sent, closed = f"{self.name} sent", f"{self.name} closed"
        sent_before, closed_before = self.counted.count(sent), self.counted.count(closed)
        began = time.perf_counter()
        await _each(self.start, given)
        await self.counted.reached(sent, sent_before + count)
        await _each(self.wake, given)
        ended = await self.counted.reached(closed, closed_before + count)
        await asyncio.sleep(0.3)  # the last workflow's completion must not fall into the next run
        return ended - began

    async def park(self, number: int) -> str:
        """Starts one that then waits; returns its workflow id."""
        [given] = await self.prepare(1)
        before = self.counted.count(f"{self.name} sent")
        await self.start(given)
        await self.counted.reached(f"{self.name} sent", before + 1)
        return self.id_of(given)


async def _each(do: Callable[[Any], Awaitable[None]], given: Sequence[Any]) -> None:
    waiting = iter(given)

    async def work() -> None:
        for one in waiting:
            await do(one)

    await asyncio.gather(*(work() for _ in range(AT_THE_SAME_TIME)))


@contextlib.asynccontextmanager
async def _by_hand(client: Client, counted: Counted) -> AsyncIterator[_Player]:
    def told(what: str) -> None:
        counted.add(f"hand {what}")

    async def prepare(count: int) -> list[str]:
        return [f"by-hand/{uuid.uuid4()}" for _ in range(count)]

    async def start(name: str) -> None:
        await client.start_workflow(by_hand.TwoMessages.run, name, id=name, task_queue=by_hand.JOURNEYS)

    async def wake(name: str) -> None:
        await client.get_workflow_handle(name).signal(by_hand.TwoMessages.clicked)

    async with contextlib.AsyncExitStack() as stack:
        for worker in by_hand.workers(client, [by_hand.sends(told)], by_hand.closes(told)):
            await stack.enter_async_context(worker)
        yield _Player("hand", counted, prepare, start, wake, str)


@contextlib.asynccontextmanager
async def _engine(
    client: Client, counted: Counted, database: AsyncEngine | None
) -> AsyncIterator[tuple[_Player, _Player | None]]:
    """Our two players, stubbed and with the database, on one pair of workers set as `workers` sets them."""
    plan = check_project(PROJECT).plans["rate"]
    known = digest(plan)
    PLANS.add(known, plan)
    starter = TemporalStarter(client)
    real = None if database is None else await _activities(database)

    @activity.defn(name=SEND)
    async def send(work: Work) -> Result:
        if work.enrolment_id.startswith(STUB):
            assert work.step is not None
            result = Result(wire.to_json(Settled(work.step, "sent", datetime.now(UTC), channel=CHANNEL)))
            counted.add("stubbed sent")
        else:
            assert real is not None
            result = await real[0].send(work)
            if result.given is None or result.given.get("result") != "sent":
                raise AssertionError(f"a message was not sent: {result}")
            counted.add("ours sent")
        return result

    @activity.defn(name=CLOSE)
    async def close(work: Work) -> Result:
        if work.enrolment_id.startswith(STUB):
            counted.add("stubbed closed")
        else:
            assert real is not None
            await real[1].close(work)
            counted.add("ours closed")
        return Result()

    async def stubs(count: int) -> list[StartRow]:
        return [_stub(known) for _ in range(count)]

    async def enrolled(count: int) -> list[StartRow]:
        assert database is not None
        return await _enrol(database, count)

    async def start(row: StartRow) -> None:
        [outcome] = await starter.start([row])
        if not isinstance(outcome, Done):
            raise AssertionError(f"{row.workflow_id} was not started: {outcome}")

    async def wake(row: StartRow) -> None:
        now = datetime.now(UTC)
        condition = next(c.id for c in plan.conditions() if c.event == "rate.clicked")
        seen = EventSeen(str(uuid.uuid4()), "rate.clicked", now, now, held=(condition,))
        [outcome] = await starter.wake([WakeRow(row.workflow_id, row.enrolment_id, (wire.to_json(seen),))])
        if not isinstance(outcome, Done):
            raise AssertionError(f"{row.workflow_id} was not woken: {outcome}")

    def id_of(row: StartRow) -> str:
        return row.workflow_id

    journeys = journeys_worker(client, [close])
    sends = Worker(
        client, task_queue=channel_queue(CHANNEL), activities=[send], max_concurrent_activities=AT_ONCE
    )
    async with journeys, sends:
        yield (
            _Player("stubbed", counted, stubs, start, wake, id_of),
            None if database is None else _Player("ours", counted, enrolled, start, wake, id_of),
        )


def _stub(known: str) -> StartRow:
    """An enrolment that no database knows."""
    enrolment_id = STUB + str(uuid.uuid4())[len(STUB) :]
    key = profile_key("external_id", enrolment_id)
    payload = {
        "journey": "rate",
        "digest": known,
        "enrolment_id": enrolment_id,
        "key": key,
        "trigger_event_id": str(uuid.uuid4()),
        "entered_at": datetime.now(UTC).isoformat(),
        "holdout": False,
    }
    return StartRow(f"rate/{enrolment_id}", enrolment_id, payload)


async def _enrol(database: AsyncEngine, count: int) -> list[StartRow]:
    """So many new customers enter, by intake and router; the starts that came of it, out of the outbox."""
    now = datetime.now(UTC)
    people = [str(uuid.uuid4()) for _ in range(count)]
    messages: list[dict[str, Any]] = [
        {"type": "identify", "userId": name, "traits": {"phone": f"+86{int(name[:8], 16):011}"}}
        for name in people
    ]
    messages += [
        {"type": "track", "userId": name, "event": "rate.begun", "properties": {"number": number}}
        for number, name in enumerate(people)
    ]
    await accept(database, "bench", messages, now)
    await Router(database).sweep()
    async with database.begin() as connection:
        rows = await starts.open_starts(connection, [], {}, count + 1)
        await starts.mark_done(connection, [row.id for row in rows])
    if len(rows) != count:
        raise AssertionError(f"{count} customers came, and {len(rows)} enrolments are to be started")
    return [StartRow(row.workflow_id, row.enrolment_id, row.payload) for row in rows]


async def _activities(database: AsyncEngine) -> tuple[SendActivities, JourneyActivities]:
    live, clock = Live(database), LiveClock(database)
    await clock.look()

    async def nowhere(_: list[Message]) -> None:
        """The adapter's part is no work of ours."""

    ports = DeliveryPorts(
        database=database,
        adapters={CHANNEL: OutboxAdapter(CHANNEL, OutboxAdapter.Settings(), sink=nowhere)},
        project=live.project,
        plan=live.plan,
        worker_id="bench",
        clock=clock,
    )
    return SendActivities(ports), JourneyActivities(ports)
