"""`kill -9` of each process: between any two steps, inside a send, between commit and routing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from channels.testing.sink import FakeHttpSink
from channels.testing.smtp_server import FakeSmtpServer
from engine.store import deliveries, effects, keys
from engine.temporal.server import port_near
from tests.integration.faults.trial import (
    HOUR,
    START,
    assert_one_row_a_step,
    assert_undisturbed,
    orders,
    path_project,
    replay,
    until,
)
from tests.integration.harness import SOURCE, kairos
from tests.integration.processes import processes


async def test_journey_worker_killed_between_steps_takes_up_every_enrolment(
    database_url: str, temporal_address: str, tmp_path: Path
) -> None:
    """Customers stand at different steps at each kill: in a wait, between two messages, before the end."""
    customers = 10
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        messages = orders(customers)
        async with kairos(
            database_url, temporal_address, start=START, speed=14_400, files=files, parts=("router", "send")
        ) as running:
            with processes(tmp_path, database_url, temporal_address) as parts:
                journeys = parts.journeys()
                await asyncio.to_thread(journeys.start)
                coming = asyncio.create_task(replay(running, messages))
                for calls in (3, 14, 25):

                    async def arrived(calls: int = calls) -> bool:
                        return len(sink.ledger.ids) >= calls

                    await until(f"{calls} calls at the sink", arrived)
                    await asyncio.to_thread(journeys.again, wait=False)
                await coming
                await running.ended(customers, 120)
                await assert_undisturbed(running.database, files, messages)
        assert len(sink.ledger.ids) == customers * 4
        # Only the journeys' worker was killed: no call was ever in doubt.
        assert (sink.ledger.repeats, sink.ledger.changed) == (0, 0)


def three_sends(sink_url: str, smtp_port: int) -> dict[str, str]:
    """One event starts three journeys whose first calls hang: an effect, and two channels that differ in
    what may be done when nobody knows whether the call went through."""
    step = {
        "effect": f'webhook: {{url: "{sink_url}/hang?times=1"}}',
        "keyed": "message: {template: note, channels: [webhook]}",
        "unkeyed": "message: {template: note, channels: [email, sms]}",
    }
    return {
        "kairos.yaml": f"""version: 1
channels:
  webhook:
    adapter: webhook
    settings: {{url: "{sink_url}/hang?times=1", secret: "${{SINK_SECRET}}", timeout: 60}}
  email:
    adapter: smtp
    on_unknown: assume_sent
    settings: {{host: 127.0.0.1, port: {smtp_port}, tls: none, from: hello@example.com, timeout: 60}}
""",
        "journeys/catalog.yaml": "events:\n  order.placed: {properties: {order_id: text}}\ntags: [told]\n",
        "templates/note/webhook.json.j2": "{}\n",
        "templates/note/email.subject.j2": "Your order\n",
        "templates/note/email.text.j2": "Thank you\n",
        "templates/note/sms.text.j2": "Thank you\n",
    } | {
        f"journeys/{name}.yaml": f"""journey: {name}
category: transactional
trigger: {{event: order.placed}}
steps:
  - {{id: call, {verb}}}
  - {{id: after, update: {{add_tags: [told]}}}}
"""
        for name, verb in step.items()
    }


def placed(user: str, **traits: Any) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    identify = {"type": "identify", "userId": user, "messageId": f"id-{user}", "timestamp": now}
    track = {"type": "track", "userId": user, "event": "order.placed", "messageId": user, "timestamp": now}
    return [identify | {"traits": traits}, track | {"properties": {"order_id": user}}]


async def test_send_worker_killed_inside_its_calls_leaves_one_row_and_one_message_each(
    database_url: str, temporal_address: str, tmp_path: Path
) -> None:
    async with FakeHttpSink() as sink, FakeSmtpServer() as server:
        server.behave("message", "hang")
        files = three_sends(sink.url, server.port)
        async with kairos(
            database_url, temporal_address, files=files, parts=("router", "journeys")
        ) as running:
            with processes(tmp_path, database_url, temporal_address) as parts:
                send = parts.send("webhook", "email", "sms")
                await asyncio.to_thread(send.start)
                await running.send(*placed("c1", email="c1@example.com", phone="+8613800000001"))

                async def all_inside() -> bool:
                    return sink.ledger.requests == 2 and len(server.mails) == 1

                await until("three calls under way", all_inside)
                await asyncio.to_thread(send.again, 0.5)
                ended = {e.journey: e for e in await running.ended(3, 90)}
                async with running.database.connect() as connection:
                    ids = [e.id for e in ended.values()]
                    rows = await deliveries.of_enrolments(connection, ids)
                    calls = await effects.of_enrolments(connection, ids)
                await assert_one_row_a_step(running.database)
                traces = {name: await running.trace(e.id) for name, e in ended.items()}
                assert await running.outbox() == [], "no other channel may be tried"
        assert {e.exit for e in ended.values()} == {"completed"}
        assert {name: rows[ended[name].id][0].state for name in ("keyed", "unkeyed")} == {
            "keyed": "accepted",
            "unkeyed": "unknown",
        }
        assert [row.state for row in calls[ended["effect"].id] if row.verb == "webhook"] == ["done"]
        assert ("unknown", "call") in [line[:2] for line in traces["unkeyed"]]
        # What carries a key was repeated with the same one; the mail, which carries none, was not.
        assert (len(sink.ledger.ids), sink.ledger.repeats, sink.ledger.changed) == (2, 2, 0)
        assert len(server.mails) == 1


async def test_api_and_router_killed_between_commit_and_routing_lose_no_event(
    database_url: str, temporal_address: str, tmp_path: Path
) -> None:
    customers = 20
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        messages = orders(customers, apart=HOUR / 60)
        async with kairos(
            database_url, temporal_address, start=START, speed=14_400, files=files, parts=("journeys", "send")
        ) as running:
            async with running.database.begin() as connection:
                token = (await keys.create(connection, "test", "ingest", source=SOURCE)).token
            with processes(tmp_path, database_url, temporal_address) as parts:
                api, router = parts.api(port_near(0)), parts.router()
                await asyncio.to_thread(api.start)
                port = api.command[-1]
                early = [m for m in messages if m["event"] == "order.placed"]
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=(token, "")) as client:
                    for place in range(0, customers, 10):
                        answer = await client.post("/v1/batch", json={"batch": early[place : place + 10]})
                        assert answer.status_code == 200
                api.kill()  # acknowledged, and nobody has routed anything yet
                await asyncio.to_thread(router.start)

                async def some() -> bool:
                    return len(await running.enrolments()) >= 5

                await until("the router to begin", some)
                await asyncio.to_thread(router.again)
                await running.ended(customers, 120)
                await assert_undisturbed(running.database, files, early)
        assert (len(sink.ledger.ids), sink.ledger.repeats) == (customers * 4, 0)
