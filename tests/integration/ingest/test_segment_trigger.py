"""Journeys by segment, from the event that lets a customer into the segment to the enrolment."""

from __future__ import annotations

from datetime import timedelta

from engine.ingest.recomputing import follow, recompute
from tests.integration.ingest.world import CATALOGUE, START, World

SEGMENTS = (
    CATALOGUE
    + """
segments:
  buyers: count("order.paid", "30d") > 0
"""
)
JOINED = """
journey: joined
trigger: {segment: buyers, reenter: never}
steps:
  - {id: rest, wait: {for: 5d}}
"""
LEFT = """
journey: left
trigger: {segment: buyers, change: leaves}
steps: []
"""


async def ready(world: World) -> None:
    await world.apply(JOINED, LEFT, catalogue=SEGMENTS)
    await follow(world.database, lambda: world.now)


async def test_who_enters_the_segment_enters_the_journey_at_the_instant_of_the_event(world: World) -> None:
    await ready(world)
    await world.event("order.paid", timedelta(minutes=5), total=7)
    await world.route(timedelta(minutes=5, seconds=10))
    await world.event("order.paid", timedelta(minutes=5, seconds=20), total=8)
    await world.route(timedelta(minutes=5, seconds=30))
    (one,) = await world.enrolments("joined")
    assert one.entered_at == START + timedelta(minutes=5)
    assert one.trigger["segment"] == "buyers"
    assert await world.enrolments("left") == []


async def test_who_leaves_with_time_alone_enters_the_other_journey_once(world: World) -> None:
    await ready(world)
    await world.event("order.paid", timedelta(minutes=5), total=7)
    await world.route(timedelta(minutes=10))
    world.now = START + timedelta(days=31)
    for _ in range(2):  # the next look finds nothing new
        await recompute(world.database, wall=lambda: world.now)
        await world.route()
    (gone,) = await world.enrolments("left")
    assert gone.entered_at == world.now
    assert len(await world.enrolments("joined")) == 1


async def test_who_is_in_it_when_the_journey_goes_live_does_not_enter(world: World) -> None:
    await world.apply(catalogue=SEGMENTS)
    await world.event("order.paid", timedelta(minutes=5), total=7)
    await world.route(timedelta(minutes=10))
    await ready(world)
    await world.event("order.paid", timedelta(minutes=15), total=7)
    await world.route(timedelta(minutes=20))
    assert await world.enrolments("joined") == []
