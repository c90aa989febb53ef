"""Crowds on a real Temporal server: taken up, told about, entered by both drivers, stopped, found again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus

from engine.core.identity import crowd_workflow_id
from engine.ingest import crowds as asking
from engine.ingest.crowds import Crowds
from engine.pool import crowd as driver
from engine.pool.waker import Waker
from engine.store import crowds
from engine.store.crowds import Crowd
from tests.integration.harness import POOL, Kairos, kairos

CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
tags: [vip]
"""
SALE = """
journey: sale
run_as: pool
trigger: {manual: {percent: number}}
goal: {event: order.paid}
steps:
  - {id: offer, message: {template: offer, channels: [sms]}}
  - {id: rest, wait: {for: 1s}}
  - {id: again, message: {template: offer, channels: [sms]}}
"""
FILES = {
    "journeys/catalog.yaml": CATALOGUE,
    "journeys/sale.yaml": SALE,
    "journeys/call.yaml": SALE.replace("journey: sale\nrun_as: pool", "journey: call"),
    "templates/offer/sms.text.j2": "{{ trigger.percent }} % off",
    "kairos.yaml": "consent: {marketing: not_needed}\n",
}


def identify(number: int) -> dict[str, object]:
    return {
        "type": "identify",
        "userId": f"u{number}",
        "messageId": f"u{number}-id",
        "traits": {"phone": f"+4930{number:06}"},
    }


async def ask(running: Kairos, journey: str, **given: Any) -> str:
    async with running.database.begin() as connection:
        return (await asking.ask(connection, journey, given)).crowd.id


async def over(running: Kairos, crowd_id: str) -> Crowd:
    found: Crowd | None = None
    try:
        async with asyncio.timeout(40):
            while found is None or not found.over:
                async with running.database.connect() as connection:
                    found = await crowds.get(connection, crowd_id)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited 40 s for the crowd to be over; got {found}") from None
    return found


async def details(running: Kairos, workflow_id: str) -> str:
    handle = running.client.get_workflow_handle(workflow_id)
    found = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(found.current_details)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("journey", ["sale", "call"])
async def test_a_crowd_enters_and_gets_its_messages_by_either_driver(
    database_url: str, temporal_address: str, journey: str
) -> None:
    async with kairos(database_url, temporal_address, files=FILES, parts=POOL) as running:
        await running.send(*(identify(number) for number in range(12)))
        crowd_id = await ask(running, journey, percent=20)
        crowd = await over(running, crowd_id)
        assert (crowd.status, crowd.looked, crowd.entered) == ("entered", 12, 12)
        ended = await running.ended(12)
        assert {(one.driver, one.exit) for one in ended} == {
            ("pool" if journey == "sale" else "workflow", "completed")
        }
        messages = await running.outbox()
        assert len(messages) == 24
        assert {message.parts["text"] for message in messages} == {"20 % off"}
        lines = await running.trace(ended[0].id)
        assert [line[0] for line in lines] == [
            "entered",
            "began",
            "sent",
            "began",
            "waits",
            "began",
            "sent",
            "exited",
        ]
        workflow_id = crowd_workflow_id(journey, crowd_id)
        handle = running.client.get_workflow_handle(workflow_id)
        assert await asyncio.wait_for(handle.result(), 20) == "12 of 12 looked at, 12 entered"
        assert await details(running, workflow_id) == "12 of 12 looked at, 12 entered"
        described = await handle.describe()
        assert described.search_attributes["KairosJourney"] == [journey]


@pytest.mark.timeout(120)
async def test_a_crowd_that_is_cancelled_in_temporal_stops_and_keeps_who_is_in(
    database_url: str, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "TURN", 0.0)
    slow(monkeypatch)
    async with kairos(database_url, temporal_address, files=FILES, parts=POOL) as running:
        await running.send(*(identify(number) for number in range(40)))
        crowd_id = await ask(running, "sale", percent=20)
        await begun(running, crowd_id)
        handle = running.client.get_workflow_handle(crowd_workflow_id("sale", crowd_id))
        await handle.cancel()
        crowd = await over(running, crowd_id)
        assert crowd.status == "cancelled"
        assert 0 < crowd.entered < 40
        assert len(await running.enrolments("sale")) == crowd.entered


@pytest.mark.timeout(120)
async def test_a_crowd_whose_workflow_is_lost_is_begun_again_and_a_terminated_one_is_cancelled(
    database_url: str, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch)
    async with kairos(database_url, temporal_address, files=FILES, parts=("pool",)) as running:
        await running.send(*(identify(number) for number in range(10)))
        lost, stopped = await ask(running, "sale", percent=20), await ask(running, "sale", percent=30)
        async with running.database.begin() as connection:
            # Nobody has worked on it for long, and Temporal knows nothing of it.
            await crowds.begin(connection, lost)
            await connection.execute(sa.text("UPDATE crowds SET touched_at = now() - interval '1 hour'"))
        await running.client.start_workflow(
            driver.CROWD,
            driver.CrowdInput("sale", stopped),
            id=crowd_workflow_id("sale", stopped),
            task_queue="nobody-serves-this",
        )
        await running.client.get_workflow_handle(crowd_workflow_id("sale", stopped)).terminate()
        await Waker(running.database, running.client).look_after_crowds()
        assert (await over(running, stopped)).status == "cancelled"
        found = await over(running, lost)
        assert (found.status, found.entered) == ("entered", 10)
        for crowd_id in (lost, stopped):
            handle = running.client.get_workflow_handle(crowd_workflow_id("sale", crowd_id))
            await asyncio.wait_for(handle.result(), 20)
            assert (await handle.describe()).status == WorkflowExecutionStatus.COMPLETED


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of two, with a pause after each."""
    advance = Crowds.advance

    async def slowly(self: Crowds, crowd_id: str) -> Crowd | None:
        self.limit = 2
        found = await advance(self, crowd_id)
        await asyncio.sleep(0.2)
        return found

    monkeypatch.setattr(Crowds, "advance", slowly)


async def begun(running: Kairos, crowd_id: str) -> None:
    async with asyncio.timeout(40):
        while True:
            if await running.enrolments("sale"):
                return
            await asyncio.sleep(0.05)
