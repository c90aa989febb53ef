"""The workflow driver on a real Temporal server, with activities that only remember what they were asked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Replayer, Worker

from engine.core import wire
from engine.core.inputs import Answered, Control, EventSeen, Settled
from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Condition,
    Goal,
    Message,
    Plan,
    Split,
    Trigger,
    Variant,
    WaitEvent,
    WaitLength,
)
from engine.ingest.starts import Done, StartRow, WakeRow
from engine.temporal.client import TemporalStarter, connect
from engine.temporal.payloads import Result, Work
from engine.temporal.queues import ASK, CLOSE, JOURNEYS, SEND, channel_queue
from engine.temporal.registry import PLANS
from engine.temporal.workflow import EnrolmentWorkflow

PLAN = Plan(
    journey="unpaid-cart",
    trigger=Trigger("event", event="cart.updated"),
    goal=Goal(Condition("goal", "order.paid"), timedelta(days=3)),
    first="look",
    steps={
        "look": Branch("look", "offer", (Case("trigger.total > 50", "offer"),), None),
        "offer": Split("offer", "wait", (Variant("plain", 5000, "plain"), Variant("coupon", 5000, "coupon"))),
        "plain": Message("plain", "wait", "cart-reminder", ("sms",)),
        "coupon": Message("coupon", "wait", "cart-coupon", ("sms",)),
        "wait": WaitEvent(
            "wait",
            "pause",
            (Arm(Condition("wait.0", "message.clicked"), "pause"),),
            timedelta(seconds=2),
            "last",
        ),
        "last": Message("last", "pause", "cart-last-call", ("sms",)),
        "pause": WaitLength("pause", None, timedelta(seconds=1)),
    },
)
DIGEST = "d" * 64


class Memory:
    """Activities that accept everything and keep what they saw."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.closed: dict[str, Work] = {}
        self.traces: dict[str, list[dict[str, Any]]] = {}
        self.hold = asyncio.Event()
        self.hold.set()

    def _keep(self, work: Work) -> None:
        kept = self.traces.setdefault(work.enrolment_id, [])
        assert work.trace_from == len(kept), "a gap or an overlap in the trace"
        kept.extend(work.trace)

    @activity.defn(name=SEND)
    async def send(self, work: Work) -> Result:
        await self.hold.wait()
        assert work.step is not None
        self._keep(work)
        self.sent.append((work.enrolment_id, work.step))
        at = datetime.fromisoformat(work.at)
        return Result(wire.to_json(Settled(work.step, "sent", at, channel="sms")))

    @activity.defn(name=ASK)
    async def ask(self, work: Work) -> Result:
        at = datetime.fromisoformat(work.at)
        return Result(wire.to_json(Answered(work.ask_id, tuple(True for _ in work.questions), at)))

    @activity.defn(name=CLOSE)
    async def close(self, work: Work) -> Result:
        self._keep(work)
        self.closed[work.enrolment_id] = work
        return Result()

    def steps(self, enrolment: str) -> list[tuple[str, str | None, str | None]]:
        return [
            (entry["result"], entry.get("step"), entry.get("detail"))
            for entry in self.traces.get(enrolment, [])
            if entry["result"] not in ("began", "waits")
        ]


@asynccontextmanager
async def running(client: Client, memory: Memory) -> AsyncIterator[None]:
    journeys = Worker(
        client,
        task_queue=JOURNEYS,
        workflows=[EnrolmentWorkflow],
        activities=[memory.ask, memory.close],
        max_cached_workflows=0,  # every task replays its whole history: nondeterminism cannot hide
    )
    sends = Worker(client, task_queue=channel_queue("sms"), activities=[memory.send])
    async with journeys, sends:
        yield


async def start(client: Client) -> tuple[str, WorkflowHandle[Any, Any]]:
    PLANS.add(DIGEST, PLAN)
    enrolment = str(uuid.uuid4())
    payload = {
        "journey": "unpaid-cart",
        "digest": DIGEST,
        "enrolment_id": enrolment,
        "key": "k" * 64,
        "trigger_event_id": "trigger",
        "entered_at": datetime.now(UTC).isoformat(),
    }
    workflow_id = f"unpaid-cart/{enrolment}"
    row = StartRow(workflow_id, enrolment, payload)
    assert await TemporalStarter(client).start([row, row]) == [Done(), Done()]
    return enrolment, client.get_workflow_handle(workflow_id)


async def wake(client: Client, workflow_id: str, items: list[dict[str, Any]]) -> None:
    assert await TemporalStarter(client).wake([WakeRow(workflow_id, "", tuple(items))]) == [Done()]


def seen(name: str, held: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return wire.to_json(EventSeen(str(uuid.uuid4()), name, now, now, 1, (held,)))


async def test_no_click_sends_the_last_call_and_the_history_replays(temporal_address: str) -> None:
    client, memory = await connect(temporal_address), Memory()
    async with running(client, memory):
        enrolment, handle = await start(client)
        assert await asyncio.wait_for(handle.result(), 30) == "completed"
        history = await handle.fetch_history()
    assert [step for _, step in memory.sent][1:] == ["last"]
    assert [r for r, *_ in memory.steps(enrolment)] == [
        "entered",
        "took",
        "took",
        "sent",
        "took",
        "sent",
        "exited",
    ]
    await Replayer(workflows=[EnrolmentWorkflow]).replay_workflow(history)


async def test_click_takes_the_arm_and_a_second_delivery_of_it_changes_nothing(
    temporal_address: str,
) -> None:
    client, memory = await connect(temporal_address), Memory()
    async with running(client, memory):
        enrolment, handle = await start(client)
        await until(lambda: memory.sent)
        click = seen("message.clicked", "wait.0")
        await wake(client, handle.id, [click, click])
        await wake(client, handle.id, [click])
        assert await asyncio.wait_for(handle.result(), 30) == "completed"
    assert len(memory.sent) == 1
    assert ("took", "wait", "wait.0") in memory.steps(enrolment)


async def test_goal_during_a_send_ends_it_once_the_send_is_settled(temporal_address: str) -> None:
    client, memory = await connect(temporal_address), Memory()
    memory.hold.clear()
    async with running(client, memory):
        enrolment, handle = await start(client)
        await asyncio.sleep(1)
        await wake(client, handle.id, [seen("order.paid", "goal")])
        memory.hold.set()
        assert await asyncio.wait_for(handle.result(), 30) == "goal"
    assert [r for r, *_ in memory.steps(enrolment)][-2:] == ["sent", "exited"]


async def test_cancel_in_the_ui_is_the_exit_cancelled(temporal_address: str) -> None:
    client, memory = await connect(temporal_address), Memory()
    async with running(client, memory):
        enrolment, handle = await start(client)
        await until(lambda: memory.sent)
        await handle.cancel()
        assert await asyncio.wait_for(handle.result(), 30) == "cancelled"
    assert memory.closed[enrolment].exit == "cancelled"


async def test_pause_holds_the_timer_and_resume_goes_on(temporal_address: str) -> None:
    client, memory = await connect(temporal_address), Memory()
    async with running(client, memory):
        _, handle = await start(client)
        await until(lambda: memory.sent)
        now = datetime.now(UTC)
        await wake(client, handle.id, [wire.to_json(Control("pause", now))])
        await asyncio.sleep(3)
        assert len(memory.sent) == 1
        standing = await TemporalStarter(client).standing(handle.id)
        assert standing is not None
        assert standing["state"]["paused"] is True
        await wake(client, handle.id, [wire.to_json(Control("resume", now))])
        assert await asyncio.wait_for(handle.result(), 30) == "completed"
    assert [step for _, step in memory.sent][1:] == ["last"]


async def until(condition: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
