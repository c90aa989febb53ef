"""Crowds by segment: who is in it at the instant of entry, as it was meant when it was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest
import sqlalchemy as sa

from engine.customers import segments
from engine.ingest import crowds as asking
from engine.ingest.crowds import Crowds
from engine.store import crowds, merging, profiles
from engine.store.crowds import Crowd
from engine.store.profiles import Change
from tests.integration.ingest.world import CATALOGUE, START, World

DAY = timedelta(days=1)
WORDS = (
    CATALOGUE
    + """
segments:
  buyers: count("order.paid", "30d") > 0 and not has_tag("staff")
  gold: profile.tier == "gold"
"""
)
SALE = """
journey: sale
run_as: RUN
trigger: {manual: true}
steps:
  - {id: rest, wait: {for: 5d}}
"""
RunAs = Literal["pool", "workflow"]


async def a_shop(world: World, run_as: RunAs = "pool") -> list[str]:
    """Ten customers; those with an odd number have paid, c9 is staff."""
    await world.apply(SALE.replace("RUN", run_as), catalogue=WORDS)
    ids = [await world.profile(f"c{number}", ("staff",) if number == 9 else ()) for number in range(10)]
    for number in range(1, 10, 2):
        await world.event("order.paid", -DAY, of=f"c{number}")
    return ids


async def ask(world: World, name: str | None = None, where: str = "") -> str:
    async with world.database.begin() as connection:
        group = (
            await segments.named(connection, name)
            if name is not None
            else await segments.of_condition(connection, where)
        )
        return (await asking.ask(connection, "sale", {}, group=group)).crowd.id


async def run(world: World, crowd_id: str, limit: int = 3) -> Crowd:
    worker = Crowds(world.database, limit=limit, wall=lambda: world.now)
    while not (crowd := await worker.advance(crowd_id) or pytest.fail("the crowd is gone")).over:
        pass
    return crowd


async def entered(world: World) -> list[str]:
    return sorted(one.profile_id for one in await world.enrolments("sale"))


@pytest.mark.parametrize("run_as", ["pool", "workflow"])
async def test_who_is_in_the_segment_enters(world: World, run_as: RunAs) -> None:
    ids = await a_shop(world, run_as)
    crowd = await run(world, await ask(world, "buyers"))
    assert (crowd.what, crowd.segment, crowd.status) == ("segment", "buyers", "entered")
    assert (crowd.total, crowd.looked, crowd.entered) == (4, 4, 4)
    assert await entered(world) == sorted(ids[number] for number in (1, 3, 5, 7))
    again = await run(world, await ask(world, "buyers"))
    assert (again.entered, again.refused) == (0, {"live": 4})


async def test_for_whom_a_condition_holds_enters(world: World) -> None:
    ids = await a_shop(world)
    where = 'has_tag("staff") or (not exists(last("order.paid")) and profile.external_id in ["c2", "c3"])'
    crowd = await run(world, await ask(world, where=where))
    assert crowd.segment is None
    assert crowd.condition is not None
    assert crowd.condition["where"] == where
    assert await entered(world) == sorted([ids[2], ids[9]])


async def test_it_means_what_it_meant_when_it_was_asked_for(world: World) -> None:
    ids = await a_shop(world)
    crowd_id = await ask(world, "buyers")
    await world.apply(
        SALE.replace("RUN", "pool"), catalogue=WORDS.replace('count("order.paid", "30d") > 0', "false")
    )
    crowd = await run(world, crowd_id)
    assert (crowd.total, crowd.entered) == (4, 4)
    assert await entered(world) == sorted(ids[number] for number in (1, 3, 5, 7))


async def test_it_is_asked_at_the_instant_of_entry(world: World) -> None:
    await a_shop(world)
    crowd_id = await ask(world, "buyers")
    world.now = START + 29 * DAY
    worker = Crowds(world.database, limit=3, wall=lambda: world.now)
    crowd = await worker.advance(crowd_id)
    assert crowd is not None
    assert (crowd.entered_at, crowd.total) == (world.now, 4)
    world.now = START + 60 * DAY  # between two slices: the instant stays
    assert (await run(world, crowd_id)).entered == 4
    late = await run(world, await ask(world, "buyers"))
    assert (late.total, late.entered) == (0, 0)


async def test_it_goes_on_after_a_crash_and_lets_nobody_in_twice(world: World) -> None:
    await a_shop(world)
    crowd_id = await ask(world, "buyers")
    for _ in range(3):  # each time by another worker
        await Crowds(world.database, limit=2, wall=lambda: world.now).advance(crowd_id)
    crowd = await run(world, crowd_id, limit=2)
    assert (crowd.looked, crowd.entered) == (4, 4)
    assert len(await entered(world)) == 4


async def test_who_leaves_it_on_the_way_does_not_enter(world: World) -> None:
    ids = await a_shop(world)
    crowd_id = await ask(world, "buyers")
    worker = Crowds(world.database, limit=3, wall=lambda: world.now)
    await worker.advance(crowd_id)
    last = max((1, 3, 5, 7), key=lambda number: ids[number])
    async with world.database.begin() as connection:
        await profiles.change_batch(connection, [Change(ids[last], add_tags=("staff",))])
    crowd = await run(world, crowd_id)
    assert (crowd.total, crowd.entered) == (4, 3)
    assert ids[last] not in await entered(world)


async def test_who_was_merged_enters_once(world: World) -> None:
    ids = await a_shop(world)
    async with world.database.begin() as connection:
        await merging.merge(connection, ids[0], ids[1])
    await run(world, await ask(world, "buyers"))
    assert await entered(world) == sorted(ids[number] for number in (0, 3, 5, 7))


async def test_a_paused_journey_counts_those_in_the_segment_as_missed(world: World) -> None:
    await a_shop(world)
    crowd_id = await ask(world, "buyers")
    await world.set_status("sale", "paused")
    crowd = await run(world, crowd_id)
    assert (crowd.looked, crowd.entered, crowd.refused) == (4, 0, {"paused": 4})


async def test_what_was_asked_is_kept_with_the_crowd(world: World) -> None:
    await a_shop(world)
    crowd_id = await ask(world, "gold")
    async with world.database.connect() as connection:
        kept = await crowds.get(connection, crowd_id)
        row = await connection.execute(sa.text("SELECT condition ->> 'where' FROM crowds"))
    assert kept is not None
    assert row.scalar_one() == 'profile.tier == "gold"'
    assert "profile.tier" not in repr(kept)
