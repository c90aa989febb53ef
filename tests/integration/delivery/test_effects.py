"""Effects on a real database, and webhooks against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from channels.webhook import WebhookCaller
from engine.core.inputs import Settled
from engine.core.plan import Condition
from engine.delivery import Retry
from engine.effects import EffectPorts, perform
from engine.sdk import ActionContext, Refused, action
from engine.store import effects, profiles, tables
from engine.store.events import NewEvent, insert_batch

from .conftest import AT, ENTERED, World, effect, key_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Server:
    """A local HTTP server that keeps requests and answers as it is told."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    replies: list[tuple[int, bytes]] = field(default_factory=list)
    before_reply: Callable[[], None] = lambda: None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if k}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append((headers, body))
        status, reply = self.replies.pop(0) if self.replies else (200, b"{}")
        if status:
            length = len(reply)
            writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n".encode() + b"\r\n" + reply)
            await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    known = Server()
    listening = await asyncio.start_server(known.handle, "127.0.0.1", 0)
    known.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
    yield known
    listening.close()


def ports(world: World, name: str = "w1", **more: Any) -> EffectPorts:
    worker = world.worker(name)
    return EffectPorts(
        database=worker.database,
        adapters={},
        project=worker.project,
        plan=worker.plan,
        worker_id=name,
        clock=worker.clock,
        webhooks=WebhookCaller([SECRET]),
        **more,
    )


async def attributes(world: World, enrolment: str) -> profiles.Profile:
    profile_id = (await world.enrolment(enrolment)).profile_id
    async with world.database.connect() as connection:
        return (await profiles.get_batch(connection, [profile_id]))[profile_id]


async def row(world: World, enrolment: str) -> effects.Effect:
    async with world.database.connect() as connection:
        return (await effects.of_enrolments(connection, [enrolment]))[enrolment][0]


# --- update ---------------------------------------------------------------------------------------------


async def test_update_computes_every_value_before_it_writes_any(world: World) -> None:
    spec = {
        "set": {"points": "profile.bonus", "bonus": "profile.points", "tier": "null"},
        "add_tags": ["engaged"],
        "remove_tags": ["staff"],
    }
    digest = world.plan(effect("update", spec))
    enrolment = await world.customer(digest, attributes={"points": 1, "bonus": 2, "tier": "gold"})

    assert await perform(ports(world), [world.order(enrolment, digest)]) == [Settled("hi", "done", AT)]

    profile = await attributes(world, enrolment)
    assert profile.attributes == {"points": 2, "bonus": 1}
    assert profile.tags == ["engaged"]


async def test_update_happens_once_however_often_it_is_ordered(world: World) -> None:
    digest = world.plan(effect("update", {"set": {"points": "profile.points + 1"}}))
    enrolment = await world.customer(digest, attributes={"points": 1})
    order = world.order(enrolment, digest)

    await asyncio.gather(*(perform(ports(world, name), [order]) for name in ("w1", "w2", "w3")))
    assert await perform(ports(world), [order]) == [Settled("hi", "done", AT)]

    assert (await attributes(world, enrolment)).attributes == {"points": 2}


async def test_a_value_of_the_wrong_type_clears_as_null_does(world: World) -> None:
    digest = world.plan(effect("update", {"set": {"points": '"many"'}}))
    enrolment = await world.customer(digest, attributes={"points": 1})

    await perform(ports(world), [world.order(enrolment, digest)])

    assert (await attributes(world, enrolment)).attributes == {}


async def test_a_new_stage_is_said_once_and_the_same_stage_not_at_all(world: World) -> None:
    digest = world.plan(effect("update", {"stage": "repeat"}))
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    await perform(ports(world), [order])
    await perform(ports(world), [order])

    [event] = await world.events(enrolment)
    assert (event.name, event.properties) == ("stage.changed", {"stage": "repeat", "before": None})


async def test_a_goal_that_is_stored_but_not_routed_stops_an_effect(world: World) -> None:
    goal = Condition("goal", "order.paid")
    digest = world.plan(effect("update", {"add_tags": ["engaged"]}), goal=goal)
    enrolment = await world.customer(digest)
    await world.event(enrolment, "order.paid", AT - timedelta(minutes=1))

    [answer] = await perform(ports(world), [world.order(enrolment, digest)])

    assert (answer.kind, answer.result, answer.reason) == ("settled", "skipped", "exit_seen")  # type: ignore[union-attr]
    assert (await attributes(world, enrolment)).tags == []


# --- webhook --------------------------------------------------------------------------------------------


async def test_the_default_body_is_signed_and_the_answer_is_saved(world: World, server: Server) -> None:
    server.replies = [(200, b'{"coupon": "X1"}')]
    spec = {"url": server.url, "method": "POST", "body": None, "retry_for": 3600}
    digest = world.plan(effect("webhook", spec, save_as="offer"))
    enrolment = await world.customer(digest, trigger={"cart_id": "k1"})

    assert await perform(ports(world), [world.order(enrolment, digest)]) == [Settled("hi", "done", AT)]

    [(headers, body)] = server.requests
    said = Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == key_of(enrolment)
    assert set(said) == {"type", "enrolment", "step", "external_id", "trigger"}
    assert (said["enrolment"], said["step"], said["trigger"]["cart_id"]) == (enrolment, "hi", "k1")
    assert said["external_id"].startswith("c-")
    assert (await world.enrolment(enrolment)).answers == {"offer": {"coupon": "X1"}}


async def test_a_body_of_ones_own_holds_the_values_of_its_expressions(world: World, server: Server) -> None:
    body = {"cart": "trigger.cart_id", "points": "profile.points * 2", "fixed": 7, "yes": True}
    digest = world.plan(effect("webhook", {"url": server.url, "body": body, "retry_for": 60}))
    enrolment = await world.customer(digest, trigger={"cart_id": "k1"}, attributes={"points": 4})

    await perform(ports(world), [world.order(enrolment, digest)])

    assert json.loads(server.requests[0][1]) == {"cart": "k1", "points": 8, "fixed": 7, "yes": True}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 0])
async def test_what_may_pass_is_called_again_with_the_same_id(
    world: World, server: Server, status: int
) -> None:
    server.replies = [(status, b"")]
    digest = world.plan(effect("webhook", {"url": server.url, "retry_for": 3600}, save_as="offer"))
    enrolment = await world.customer(digest)
    order, worker = world.order(enrolment, digest), ports(world)

    [first] = await perform(worker, [order])
    assert isinstance(first, Retry)
    assert await perform(ports(world, "w2"), [order]) == [Settled("hi", "done", AT)]

    assert [headers["webhook-id"] for headers, _ in server.requests] == [key_of(enrolment)] * 2
    assert (await row(world, enrolment)).attempts == 2


async def test_a_refusal_fails_and_saves_null(world: World, server: Server) -> None:
    server.replies = [(404, b"")]
    digest = world.plan(effect("webhook", {"url": server.url, "retry_for": 3600}, save_as="offer"))
    enrolment = await world.customer(digest)
    order = world.order(enrolment, digest)

    [answer] = await perform(ports(world), [order])
    assert isinstance(answer, Settled)
    assert answer.result == "failed"
    assert await perform(ports(world), [order]) == [answer]

    assert len(server.requests) == 1
    assert (await world.enrolment(enrolment)).answers == {"offer": None}


async def test_a_webhook_is_given_up_after_retry_for(world: World, server: Server) -> None:
    server.replies = [(503, b"")]
    digest = world.plan(effect("webhook", {"url": server.url, "retry_for": 0}))
    enrolment = await world.customer(digest)

    [answer] = await perform(ports(world), [world.order(enrolment, digest)])

    assert isinstance(answer, Settled)
    assert answer.result == "failed"
    assert "gave up after 1 calls" in (answer.reason or "")


# --- enter ----------------------------------------------------------------------------------------------


async def live(world: World, journey: str) -> None:
    async with world.database.begin() as connection:
        await connection.execute(
            tables.journeys.insert().values(name=journey, status="live", live_digest="d", source="")
        )


async def test_entering_a_journey_that_is_not_live_fails(world: World) -> None:
    digest = world.plan(effect("enter", {"journey": "welcome", "with": {}}))
    enrolment = await world.customer(digest)

    [answer] = await perform(ports(world), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "failed", AT, reason="journey welcome is not live")
    assert await world.events(enrolment) == []


async def test_enter_asks_for_an_entry_with_its_values(world: World) -> None:
    await live(world, "welcome")
    digest = world.plan(effect("enter", {"journey": "welcome", "with": {"cart": "trigger.cart_id", "n": 1}}))
    enrolment = await world.customer(digest, trigger={"cart_id": "k1"})

    assert await perform(ports(world), [world.order(enrolment, digest)]) == [Settled("hi", "done", AT)]

    [event] = await world.events(enrolment)
    assert (event.name, event.properties["journey"]) == ("journey.enter", "welcome")
    assert event.properties["with"] == {"cart": "k1", "n": 1}


async def test_a_chain_of_more_than_ten_entries_within_an_hour_is_refused(world: World) -> None:
    await live(world, "welcome")
    digest = world.plan(effect("enter", {"journey": "welcome", "with": {}}))
    answers = []
    for length in (9, 10):
        enrolment = await world.customer(digest)
        about = await world.enrolment(enrolment)
        chain = [(AT - timedelta(minutes=5 * n)).isoformat() for n in range(length)]
        assert about.trigger_event_id is not None
        async with world.database.begin() as connection:
            begun_by = NewEvent(
                about.trigger_event_id,
                about.profile_id,
                "journey.enter",
                ENTERED,
                ENTERED,
                "kairos",
                about.trigger_event_id,
                {"chain": chain},
            )
            await insert_batch(connection, [begun_by])
        [answer] = await perform(ports(world), [world.order(enrolment, digest)])
        assert isinstance(answer, Settled)
        answers.append(answer.result)
    assert answers == ["done", "failed"]


# --- action ---------------------------------------------------------------------------------------------


async def test_an_action_gets_typed_inputs_and_its_key_and_saves_its_answer(world: World) -> None:
    seen: list[tuple[str, int]] = []

    @action
    async def grant(context: ActionContext, points: int) -> dict[str, int]:
        seen.append((context.key, points))
        return {"balance": points + 1}

    spec = {"name": "grant", "with": {"points": "profile.points"}}
    digest = world.plan(effect("action", spec, save_as="granted"))
    enrolment = await world.customer(digest, attributes={"points": 4})

    worker = ports(world, actions={"grant": grant})
    assert await perform(worker, [world.order(enrolment, digest)]) == [Settled("hi", "done", AT)]

    assert seen == [(key_of(enrolment), 4)]
    assert (await world.enrolment(enrolment)).answers == {"granted": {"balance": 5}}


async def test_an_action_is_tried_again_as_often_as_it_says(world: World) -> None:
    calls: list[int] = []

    @action(retries=1)
    def shaky(context: ActionContext) -> None:
        calls.append(context.attempt)
        raise ConnectionError("down")

    digest = world.plan(effect("action", {"name": "shaky", "with": {}}))
    enrolment = await world.customer(digest)
    order, worker = world.order(enrolment, digest), ports(world, actions={"shaky": shaky})

    assert await perform(worker, [order]) == [Retry(timedelta(seconds=1), "ConnectionError in action shaky")]
    [answer] = await perform(worker, [order])

    assert calls == [1, 2]
    assert isinstance(answer, Settled)
    assert answer.result == "failed"


async def test_an_action_that_refuses_is_not_tried_again(world: World) -> None:
    @action
    def picky() -> None:
        raise Refused("no such programme")

    digest = world.plan(effect("action", {"name": "picky", "with": {}}))
    enrolment = await world.customer(digest)

    [answer] = await perform(ports(world, actions={"picky": picky}), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "failed", AT, reason="no such programme")


async def test_a_batch_of_updates_of_one_customer_loses_none(world: World) -> None:
    digest = world.plan(effect("update", {"set": {"points": "profile.points + 1"}}))
    first = await world.customer(digest, attributes={"points": 1})
    second = await world.again(first, digest)

    await perform(ports(world), [world.order(first, digest), world.order(second, digest)])

    assert (await attributes(world, first)).attributes == {"points": 3}
