"""A database with one customer under way, and a worker to deliver with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.port import Adapter, Capabilities
from channels.testing.fakes import FakeAdapter
from engine.core.identity import delivery_key
from engine.core.limits import NO_POLICY, Policy
from engine.core.plan import Condition, Effect, Goal, Message, Plan, Step, Trigger
from engine.delivery import DeliveryPorts, LiveProject, Order
from engine.delivery.live_project import live_project
from engine.language.catalogue import Catalogue, EventType, Property
from engine.language.installation import AudienceSettings, ChannelSettings, Installation
from engine.store import consents, deliveries, enrolments, events, profiles, tables, workers
from engine.store.consents import Consent
from engine.store.database import open_database
from engine.store.deliveries import Delivery
from engine.store.enrolments import Enrolment
from engine.store.events import Event, NewEvent

ENTERED = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
AT = ENTERED + timedelta(hours=1)
PLAIN = Capabilities(remote=True)
"""A provider that does not honour our key and cannot be asked."""

KNOWN = {"phone": "+8613800000000", "email": "a@example.com"}
FILES = {
    "templates/hello/sms.text.j2": "Hello {{ profile.first_name | default('you') }}",
    "templates/hello/wecom.json.j2": '{"text": {"content": "Hello"}, "sender": "zhang"}',
    "templates/hello/generic/email.subject.j2": "News",
    "templates/hello/generic/email.text.j2": "To everybody",
    "templates/hello/email.subject.j2": "Hello",
    "templates/hello/email.text.j2": "Hello by mail",
    "templates/by-pigeon/pigeon.text.j2": "Hello by pigeon",
    "templates/fault/sms.text.j2": "Hello。拒收请回复R",
    "templates/fault/email.subject.j2": "Hello",
    "templates/fault/email.text.j2": "Hello by mail",
    "templates/fault/wechat.json.j2": '{"msgtype": "text", "text": {"content": "Hello"}}',
    "templates/counted/sms.text.j2": "Order number {{ profile.orders + 1 }}",
    "templates/tiered/sms.text.j2": "For all",
    "templates/tiered/zh/sms.text.j2": "所有人",
    "templates/tiered/gold/sms.text.j2": "For gold",
    "templates/tiered/gold/zh-Hant/sms.text.j2": "金卡",
    "templates/tiered/generic/sms.text.j2": "Generic",
    "templates/tiered/variants.yaml": """
variants:
  - {name: gold, where: 'count("order.paid", "30d") > 1'}
""",
    "templates/menu/email.subject.j2": "Our menu",
    "templates/menu/email.html.j2": "<p>Here it is. <img src='cid:logo.png' alt='Tea'></p>",
    "templates/menu/attachments.yaml": """
attachments:
  - {file: menu.pdf, name: Menu.pdf}
  - {file: logo.png, inline: true}
""",
    "templates/_files/menu.pdf": "base64:JVBERg==",
    "templates/_files/logo.png": "base64:UE5H",
    "templates/hungry/sms.text.j2": "{% include 'rounds' %}",
    "templates/_blocks/rounds.text.j2": "{% for i in range(trigger.rounds) %}{{ ().__class__ }}{% endfor %}x",
    "templates/broken/sms.text.j2": "Your cart {{ trigger.cart_id }}",
}


@dataclass
class FixedClock:
    at: datetime = AT
    scaled: bool = False

    def now(self) -> datetime:
        return self.at


@dataclass
class World:
    """One project, any number of customers, and the workers that serve them."""

    database: AsyncEngine
    adapters: dict[str, Adapter] = field(default_factory=dict)
    clock: FixedClock = field(default_factory=FixedClock)
    channels: dict[str, ChannelSettings] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=Catalogue)
    policy: Policy = NO_POLICY
    priorities: tuple[str, ...] = ()
    audiences: dict[str, AudienceSettings] = field(default_factory=dict)

    def worker(self, name: str = "w1", channels_here: frozenset[str] | None = None) -> DeliveryPorts:
        async def project() -> LiveProject:
            installation = Installation(
                channels=self.channels,
                policies={"default": self.policy},
                priorities=self.priorities,
                audiences=self.audiences,
            )
            return live_project(FILES, self.catalogue, installation)

        async def plan(digest: str) -> Plan:
            return self.plans[digest]

        return DeliveryPorts(
            database=self.database,
            adapters=self.adapters,
            project=project,
            plan=plan,
            worker_id=name,
            clock=self.clock,
            channels_here=channels_here,
        )

    def fake(self, channel: str, capabilities: Capabilities | None = None) -> FakeAdapter:
        adapter = FakeAdapter(channel, capabilities=capabilities)
        self.adapters[channel] = adapter
        return adapter

    def plan(self, *steps: Step, goal: Condition | None = None, journey: str = "cart") -> str:
        ends = None if goal is None else Goal(goal, timedelta(days=3))
        plan = Plan(
            journey, Trigger("event", "cart.updated"), {s.id: s for s in steps}, steps[0].id, goal=ends
        )
        digest = f"plan-{len(self.plans)}"
        self.plans[digest] = plan
        return digest

    async def customer(
        self,
        digest: str,
        *,
        addresses: Mapping[str, str] | None = None,
        consent: tuple[str, ...] = ("sms", "email"),
        attributes: Mapping[str, Any] | None = None,
        trigger: Mapping[str, Any] | None = None,
        holdout: bool = False,
    ) -> str:
        """An enrolment of a new customer in this plan; returns its id."""
        profile_id, enrolment_id, trigger_id = str(uuid4()), str(uuid4()), str(uuid4())
        known = (
            {"phone": "+8613800000000", "email": "a@example.com"} if addresses is None else dict(addresses)
        )
        async with self.database.begin() as connection:
            await profiles.make_batch(
                connection, [profiles.NewProfile(profile_id, uuid4().hex, f"c-{profile_id[:8]}")]
            )
            change = profiles.Change(profile_id, attributes=dict(attributes or {}), addresses=dict(known))
            await profiles.change_batch(connection, [change])
            await consents.add_batch(
                connection, [Consent(profile_id, channel, True, ENTERED) for channel in consent]
            )
        await self._enrol(enrolment_id, digest, profile_id, trigger_id, trigger or {}, holdout)
        return enrolment_id

    async def again(self, enrolment_id: str, digest: str) -> str:
        """Another enrolment of the same customer."""
        other = str(uuid4())
        profile_id = (await self.enrolment(enrolment_id)).profile_id
        await self._enrol(other, digest, profile_id, str(uuid4()), {}, False)
        return other

    async def _enrol(
        self,
        enrolment_id: str,
        digest: str,
        profile_id: str,
        trigger_id: str,
        trigger: Mapping[str, Any],
        holdout: bool,
    ) -> None:
        row = Enrolment(
            id=enrolment_id,
            journey=self.plans[digest].journey,
            digest=digest,
            profile_id=profile_id,
            profile_key="k",
            one_per=enrolment_id,
            trigger_event_id=trigger_id,
            trigger={"name": "cart.updated", "id": trigger_id, **trigger},
            holdout=holdout,
            entered_at=ENTERED,
        )
        async with self.database.begin() as connection:
            assert await enrolments.insert_batch(connection, [row])

    def order(self, enrolment_id: str, digest: str, step: str = "hi", at: datetime = AT) -> Order:
        journey = self.plans[digest].journey
        return Order(enrolment_id=enrolment_id, journey=journey, digest=digest, step=step, at=at)

    async def row(self, enrolment_id: str, step: str = "hi") -> Delivery:
        return next(row for row in await self.rows(enrolment_id) if row.step == step)

    async def rows(self, enrolment_id: str) -> list[Delivery]:
        async with self.database.connect() as connection:
            return (await deliveries.of_enrolments(connection, [enrolment_id])).get(enrolment_id, [])

    async def enrolment(self, enrolment_id: str) -> Enrolment:
        async with self.database.connect() as connection:
            return (await enrolments.get_batch(connection, [enrolment_id]))[enrolment_id]

    async def event(self, enrolment_id: str, name: str, at: datetime, **properties: Any) -> str:
        """Stores an event of this enrolment's customer, not routed yet."""
        profile_id = (await self.enrolment(enrolment_id)).profile_id
        event_id = str(uuid4())
        async with self.database.begin() as connection:
            new = NewEvent(event_id, profile_id, name, at, at, "test", event_id, properties)
            await events.insert_batch(connection, [new])
        return event_id

    async def events(self, enrolment_id: str) -> list[Event]:
        profile_id = (await self.enrolment(enrolment_id)).profile_id
        async with self.database.connect() as connection:
            return await events.of_profile(connection, profile_id)

    async def change(self, enrolment_id: str, **values: Any) -> None:
        """Changes this enrolment's customer."""
        profile_id = (await self.enrolment(enrolment_id)).profile_id
        async with self.database.begin() as connection:
            await profiles.change_batch(connection, [profiles.Change(profile_id, **values)])

    async def end(self, enrolment_id: str) -> None:
        """Ends the enrolment, from outside."""
        async with self.database.begin() as connection:
            await connection.execute(
                tables.enrolments.update()
                .where(tables.enrolments.c.id == enrolment_id)
                .values(status="ended", exit="cancelled", ended_at=AT)
            )

    async def alive(self, *names: str) -> None:
        async with self.database.begin() as connection:
            for name in names:
                await workers.seen(connection, name, "send")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    database = open_database(database_url)
    catalogue = Catalogue(
        events={
            "cart.updated": EventType(
                "cart.updated", {"cart_id": Property("text"), "total": Property("number")}
            ),
            "order.paid": EventType("order.paid", {"cart_id": Property("text"), "total": Property("number")}),
        },
        profile={
            "first_name": Property("text"),
            "points": Property("number"),
            "bonus": Property("number"),
            "tier": Property("text"),
            "orders": Property("number", computed='count("order.paid")'),
        },
        tags=("staff", "engaged"),
    )
    yield World(database, catalogue=catalogue)
    await database.dispose()


def message(
    step: str = "hi",
    template: str = "hello",
    channels: tuple[str, ...] = ("sms", "email"),
    then: str | None = None,
) -> Message:
    return Message(step, then, template, channels)


def effect(verb: Any, spec: dict[str, Any], **values: Any) -> Effect:
    return Effect("hi", None, verb, spec, **values)


def key_of(enrolment_id: str, step: str = "hi") -> str:
    return delivery_key(enrolment_id, step)
