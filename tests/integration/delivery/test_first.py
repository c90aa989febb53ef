"""First messages that have seconds: sent before their workflow gets there, once, never too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from channels import create
from channels.testing.wecom import FakeWeCom
from engine.core.inputs import Settled
from engine.core.plan import Trigger
from engine.delivery import deliver
from engine.delivery.first import First, hurried
from engine.store import starts
from engine.store.starts import NewStart

from .conftest import AT, FILES, World, message

WELCOME = (
    '{"welcome_code": "{{ trigger.welcome_code }}", "welcome_until": "{{ trigger.welcome_until }}", '
    '"text": {"content": "Welcome"}}'
)


@asynccontextmanager
async def corporation(world: World) -> AsyncIterator[FakeWeCom]:
    async with FakeWeCom("ww1", "secret") as fake:
        settings = {"corp_id": "ww1", "secret": "secret", "url": fake.url, "timeout": 5}
        async with create("wecom", "wecom", settings) as adapter:
            world.adapters["wecom"] = adapter
            yield fake


@pytest.fixture(autouse=True)
def welcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "templates/hello/wecom.json.j2", WELCOME)


async def friend(world: World, fake: FakeWeCom, digest: str, until: datetime) -> str:
    """An enrolment whose start is still to be played."""
    fake.befriend("wm-1", "zhang")
    trigger = {"welcome_code": "welcome-0", "welcome_until": until.isoformat()}
    enrolment = await world.customer(
        digest,
        addresses={"wecom": "wm-1", "phone": "+8613800000000"},
        consent=("wecom", "sms"),
        trigger=trigger,
    )
    payload = {"digest": digest, "entered_at": AT.isoformat()}
    async with world.database.begin() as connection:
        await starts.add_batch(
            connection, [NewStart("start", f"cart/{enrolment}", enrolment, payload, "cart")]
        )
    return enrolment


async def test_it_is_sent_once_and_the_workflow_finds_it_sent(world: World) -> None:
    async with corporation(world) as fake:
        digest = world.plan(message(channels=("wecom",)))
        enrolment = await friend(world, fake, digest, datetime.now(UTC) + timedelta(seconds=20))
        first = First(world.worker("first"), {"cart": frozenset({"wecom"})})

        assert await first.send() == 1
        assert await first.send() == 0
        [answered] = await deliver(world.worker("w1"), [world.order(enrolment, digest)])

        assert answered == Settled("hi", "sent", AT, "wecom")
        assert len(fake.sent) == 1


async def test_of_two_processes_one_sends(world: World) -> None:
    async with corporation(world) as fake:
        digest = world.plan(message(channels=("wecom",)))
        await friend(world, fake, digest, datetime.now(UTC) + timedelta(seconds=20))
        for name in ("one", "two"):
            await First(world.worker(name), {"cart": frozenset({"wecom"})}).send()
        assert len(fake.sent) == 1


async def test_after_its_seconds_it_is_skipped_and_nothing_is_called(world: World) -> None:
    async with corporation(world) as fake:
        digest = world.plan(message(channels=("wecom",)))
        enrolment = await friend(world, fake, digest, datetime.now(UTC) - timedelta(seconds=1))
        await First(world.worker("first"), {"cart": frozenset({"wecom"})}).send()
        row = await world.row(enrolment)
        assert (row.state, row.reason) == ("skipped", "window")
        assert not fake.calls


async def test_after_its_seconds_the_next_channel_is_used(world: World) -> None:
    async with corporation(world) as fake:
        sms = world.fake("sms")
        digest = world.plan(message(channels=("wecom", "sms")))
        enrolment = await friend(world, fake, digest, datetime.now(UTC) - timedelta(seconds=1))
        [answered] = await deliver(world.worker("w1"), [world.order(enrolment, digest)])
        assert answered == Settled("hi", "sent", AT, "sms", passed_over=(("wecom", "window"),))
        assert len(sms.attempts) == 1


def test_only_journeys_that_begin_with_a_message_after_such_an_event_are_hurried() -> None:
    world = World(None)  # type: ignore[arg-type]
    digest = world.plan(message(channels=("wecom",)))
    plan = world.plans[digest]
    hurry = replace(plan, trigger=Trigger("event", "wecom.friend_added"))
    assert hurried([hurry]) == {"cart": frozenset({"wecom"})}
    assert hurried([plan, replace(hurry, run_as="pool"), replace(hurry, first=None)]) == {}
