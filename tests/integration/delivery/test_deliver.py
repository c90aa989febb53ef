"""A message's way from order to settled row, on a real database."""

from __future__ import annotations

from channels.outbox import OutboxAdapter
from channels.port import Settings
from channels.testing.fakes import MemorySink
from engine.core.inputs import Settled
from engine.delivery import deliver

from .conftest import AT, World, key_of, message


async def test_one_order_goes_through_the_outbox_and_is_settled(world: World) -> None:
    sink = MemorySink()
    world.adapters["sms"] = OutboxAdapter("sms", Settings(), sink=sink)
    digest = world.plan(message())
    enrolment = await world.customer(digest, attributes={"first_name": "Lin"})

    [answer] = await deliver(world.worker(), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "sent", AT, "sms")
    [kept] = sink.messages.values()
    assert (kept.key, kept.address, kept.parts) == (
        key_of(enrolment),
        "+8613800000000",
        {"text": "Hello Lin"},
    )
    row = await world.row(enrolment)
    assert (row.state, row.channel, row.attempts) == ("accepted", "sms", 1)
    [event] = await world.events(enrolment)
    assert (event.name, event.occurred_at, event.properties["channel"]) == ("message.sent", AT, "sms")
    assert event.properties["enrolment_id"] == enrolment
