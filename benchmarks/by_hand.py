"""The baseline: what somebody writes who has one journey and Temporal's SDK, and no journey engine.

    python -m benchmarks.by_hand --address 127.0.0.1:7233      a worker of its own

The shapes are those of the journeys that they are compared with: as many activities, sends on a task queue of
their own (as anybody needs who limits the rate of a provider), the same worker settings.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

JOURNEYS, SENDS = "by-hand", "by-hand-send"
DAY = timedelta(days=1)
ATTEMPT = timedelta(seconds=30)


@dataclass
class Message:
    customer: str
    template: str


@dataclass
class Call:
    customer: str
    url: str


@workflow.defn(name="TwoMessages")
class TwoMessages:
    """Send, wait for a click, send, and note the end."""

    def __init__(self) -> None:
        self._clicked = False

    @workflow.signal
    def clicked(self) -> None:
        self._clicked = True

    @workflow.run
    async def run(self, customer: str) -> str:
        await self._send(customer, "first")
        try:
            await workflow.wait_condition(lambda: self._clicked, timeout=DAY)
        except TimeoutError:
            return "silent"
        await self._send(customer, "second")
        await workflow.execute_local_activity("hand_close", customer, start_to_close_timeout=ATTEMPT)
        return "completed"

    async def _send(self, customer: str, template: str) -> None:
        await workflow.execute_activity(
            "hand_send", Message(customer, template), task_queue=SENDS, start_to_close_timeout=ATTEMPT
        )


@workflow.defn(name="SplitAndCall")
class SplitAndCall:
    """One of two halves, by hash, and a call."""

    @workflow.run
    async def run(self, call: Call) -> str:
        half = "left" if hashlib.sha256(call.customer.encode()).digest()[0] % 2 else "right"
        await workflow.execute_activity(
            "hand_call",
            Call(call.customer, f"{call.url}/{half}"),
            task_queue=SENDS,
            start_to_close_timeout=ATTEMPT,
        )
        return half


@workflow.defn(name="Parked")
class Parked:
    """Waits for a click."""

    def __init__(self) -> None:
        self._clicked = False

    @workflow.signal
    def clicked(self) -> None:
        self._clicked = True

    @workflow.run
    async def run(self, customer: str) -> str:
        await workflow.wait_condition(lambda: self._clicked, timeout=DAY)
        return "completed"


WORKFLOWS: list[type] = [TwoMessages, SplitAndCall, Parked]


def sends(done: Callable[[str], None] = lambda _: None) -> Callable[[Message], object]:
    @activity.defn(name="hand_send")
    async def hand_send(message: Message) -> str:
        done("sent")
        return "sent"

    return hand_send


def closes(done: Callable[[str], None] = lambda _: None) -> Callable[[str], object]:
    @activity.defn(name="hand_close")
    async def hand_close(customer: str) -> None:
        done("closed")

    return hand_close


def workers(
    client: Client, activities: Sequence[Callable[..., object]], close: Callable[..., object]
) -> list[Worker]:
    """The journeys' worker and the senders' one, set as ours are."""
    journeys = Worker(
        client,
        task_queue=JOURNEYS,
        workflows=WORKFLOWS,
        activities=[close],
        max_cached_workflows=2_000,
        max_concurrent_workflow_tasks=16,
        max_concurrent_activities=50,
        max_concurrent_local_activities=50,
    )
    return [
        journeys,
        Worker(client, task_queue=SENDS, activities=list(activities), max_concurrent_activities=100),
    ]


async def _serve(address: str) -> None:
    import httpx

    client = await Client.connect(address)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=100)) as http:

        @activity.defn(name="hand_call")
        async def hand_call(call: Call) -> int:
            headers = {"webhook-id": call.customer}
            answer = await http.post(call.url, json={"customer": call.customer}, headers=headers)
            answer.raise_for_status()
            return answer.status_code

        first, second = workers(client, [hand_call, sends()], closes())
        async with first, second:
            print("by hand: ready", flush=True)
            await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.by_hand", description=__doc__)
    parser.add_argument("--address", required=True)
    asyncio.run(_serve(parser.parse_args().address))
    os._exit(0)


if __name__ == "__main__":
    main()
