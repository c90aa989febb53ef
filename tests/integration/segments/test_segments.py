"""Segments of an applied catalogue: counted, shown, explained; and lists that are changed by name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.customers import lists, segments
from engine.customers.segments import NoSuchSegment, SegmentError
from engine.store import merging, populations, profiles
from engine.store.crowd_members import Named
from engine.store.database import open_database
from engine.store.profiles import Change
from tests.integration.ingest.world import START, World

DAY = timedelta(days=1)
CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
profile:
  tier: {type: text, one_of: [silver, gold]}
  orders: {type: number, computed: 'count("order.paid", "90d")'}
tags: [staff]
segments:
  gold: profile.tier == "gold"
  buyers: profile.orders > 0
  best: in_segment("gold") and in_segment("buyers") and not has_tag("staff")
  either: in_segment("gold") or in_segment("buyers")
  testers: {list: true}
"""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Gold are c0 to c4, buyers c3 to c6, staff is c4; c7 is nothing."""
    database = open_database(database_url)
    world = World(database)
    await world.apply(catalogue=CATALOGUE)
    for number in range(8):
        await world.profile(f"c{number}", ("staff",) if number == 4 else ())
    async with database.begin() as connection:
        golden = [Change(await id_of(world, n), attributes={"tier": "gold"}) for n in range(5)]
        await profiles.change_batch(connection, golden)
    for number in (3, 4, 5, 6, 6):
        await world.event("order.paid", -DAY, of=f"c{number}", total=10)
    yield world
    await database.dispose()


@pytest.fixture
async def connection(world: World) -> AsyncIterator[AsyncConnection]:
    async with world.database.begin() as connection:
        yield connection


async def id_of(world: World, number: int) -> str:
    return await world.profile(f"c{number}")


def by_name(*names: str) -> list[Named]:
    return [Named(kind="external_id", value=name) for name in names]


@pytest.mark.parametrize(
    ("name", "count"), [("gold", 5), ("buyers", 4), ("best", 1), ("either", 7), ("testers", 0)]
)
async def test_a_segment_is_counted(connection: AsyncConnection, name: str, count: int) -> None:
    group = await segments.named(connection, name)
    assert await segments.count(connection, group, START) == count
    shown = await segments.preview(connection, group, START, 100)
    assert len(shown) == count
    assert [one.id for one in shown] == sorted(one.id for one in shown)


async def test_what_has_not_happened_yet_or_long_ago_does_not_count(connection: AsyncConnection) -> None:
    group = await segments.named(connection, "buyers")
    assert await segments.count(connection, group, START - 2 * DAY) == 0
    assert await segments.count(connection, group, START + 90 * DAY) == 0
    assert await segments.count(connection, group, START + 89 * DAY) == 4


async def test_a_preview_goes_on_where_it_ended(connection: AsyncConnection) -> None:
    group = await segments.named(connection, "either")
    first = await segments.preview(connection, group, START, 3)
    rest = await segments.preview(connection, group, START, 10, first[-1].id)
    assert len({one.id for one in (*first, *rest)}) == 7


async def test_each_part_is_explained_alone_and_with_those_before(connection: AsyncConnection) -> None:
    best = await segments.explain(connection, await segments.named(connection, "best"), START)
    assert (best.everybody, best.joined_by, best.count) == (8, "and", 1)
    assert [(part.text, part.alone, part.together) for part in best.parts] == [
        ('in_segment("gold")', 5, 5),
        ('in_segment("buyers")', 4, 2),
        ('not has_tag("staff")', 7, 1),
    ]
    either = await segments.explain(connection, await segments.named(connection, "either"), START)
    assert [(part.alone, part.together) for part in either.parts] == [(5, 5), (4, 7)]
    assert either.joined_by == "or"
    where = 'in_segment("testers") or has_tag("staff") and in_segment("gold")'
    typed = await segments.explain(connection, await segments.of_condition(connection, where), START)
    assert typed.parts[1].text == '(has_tag("staff") and in_segment("gold"))'


async def test_merged_profiles_are_one_customer(world: World) -> None:
    async with world.database.begin() as connection:
        await merging.merge(connection, await id_of(world, 0), await id_of(world, 5))
        found = {n: await segments.named(connection, n) for n in ("gold", "buyers", "best")}
        counts = {n: await segments.count(connection, group, START) for n, group in found.items()}
    assert counts == {"gold": 5, "buyers": 4, "best": 2}


async def test_an_unknown_segment_is_answered_with_the_nearest(connection: AsyncConnection) -> None:
    with pytest.raises(NoSuchSegment, match="did you mean `gold`"):
        await segments.named(connection, "gld")
    with pytest.raises(NoSuchSegment, match="there are: best, buyers"):
        await segments.named(connection, "zzz")


async def test_a_condition_that_was_typed_is_checked(connection: AsyncConnection) -> None:
    group = await segments.of_condition(connection, 'profile.tier != "gold" or profile.orders >= 1')
    assert await segments.count(connection, group, START) == 4
    for where, said in [
        ("profile.teir == 1", "column 1: unknown attribute of profile `teir`"),
        ("profile.tier ==", "column 16"),
        ("profile.tier", "true or false is needed"),
        ("event.total > 1", "`event` has no meaning here"),
        ("profile == profile", "whole profile"),
    ]:
        with pytest.raises(SegmentError, match=said):
            await segments.of_condition(connection, where)


async def test_facts_are_looked_up_one_by_one_where_few_are_left(world: World) -> None:
    async with world.database.begin() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO profiles (id, key) SELECT gen_random_uuid(), 'x' || n "
                "FROM generate_series(1, 60000) n"
            )
        )
        await connection.execute(sa.text("ANALYZE profiles"))
        best = await segments.named(connection, "best")
        asked = await segments.asked(connection, best, START)
        assert "LATERAL" in asked.joins
        assert await populations.count(connection, asked) == 1
        buyers = await segments.named(connection, "buyers")
        assert "LATERAL" not in (await segments.asked(connection, buyers, START)).joins


async def test_what_a_condition_meant_can_be_kept(world: World) -> None:
    async with world.database.begin() as connection:
        kept = (await segments.named(connection, "best")).frozen
    assert "catalogue" not in kept
    old = {key: value for key, value in kept.items() if key != "meaning"} | {"catalogue": CATALOGUE}
    await world.apply(catalogue=CATALOGUE.replace('tier == "gold"', 'tier == "silver"'))
    async with world.database.begin() as connection:
        now = await segments.named(connection, "best")
        assert await segments.count(connection, now, START) == 0
        for frozen in (json.loads(json.dumps(kept)), old):
            again = await segments.best_condition(connection, *segments.thawed(frozen), START)
            assert await populations.count(connection, again) == 1


async def test_customers_are_put_on_a_list_and_taken_off(connection: AsyncConnection) -> None:
    heard: list[int] = []
    given = [*by_name("c1", "c1", "nobody", "c2"), Named(anyhow="c3")]
    changed = await lists.change(connection, "testers", given, heard=heard.append)
    assert (changed.added, changed.members, changed.not_one) == (3, 3, {2: 0})
    assert heard == [5]
    again = await lists.change(connection, "testers", by_name("c1", "c4"))
    assert (again.added, again.members) == (1, 4)
    taken = await lists.change(connection, "testers", by_name("c1", "c7", "nobody"), "remove")
    assert (taken.removed, taken.members, taken.not_one) == (1, 3, {2: 0})
    new = await lists.change(connection, "testers", by_name("c6", "c7"), "replace")
    assert (new.added, new.removed, new.members) == (2, 3, 2)
    group = await segments.named(connection, "testers")
    assert await segments.count(connection, group, START) == 2


async def test_a_list_is_never_emptied_by_a_wrong_file(connection: AsyncConnection) -> None:
    await lists.change(connection, "testers", by_name("c1"))
    with pytest.raises(SegmentError, match="nobody would be left"):
        async with connection.begin_nested():
            await lists.change(connection, "testers", by_name("wrong", "column"), "replace")
    group = await segments.named(connection, "testers")
    assert await segments.count(connection, group, START) == 1
    with pytest.raises(SegmentError, match="is an expression"):
        await lists.change(connection, "gold", by_name("c1"))


async def test_before_the_first_apply_it_says_what_to_do(database_url: str) -> None:
    database = open_database(database_url)
    async with database.connect() as connection:
        with pytest.raises(NoSuchSegment, match="kairos apply"):
            await segments.named(connection, "gold")
    await database.dispose()
