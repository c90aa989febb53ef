"""Segments, stages and rules' tags followed: who enters and leaves, what is recorded, and what is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ingest.recomputing import Done, RecomputeError, expire_tags, follow, recompute
from engine.store import derived, segments, tags
from engine.store.consents import Consent, add_batch
from engine.store.profiles import Change, change_batch
from tests.integration.ingest.world import START, World

DAY = timedelta(days=1)
CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
  page.viewed: {}
profile:
  tier: text
tags:
  - staff
  - {name: engaged, expires: 2d}
  - {name: rich, where: 'total("order.paid", "total", "30d") > 100'}
segments:
  buyers: {where: 'count("order.paid", "30d") > 0', history: true}
  golden: {where: 'profile.tier == "gold" and consent("sms")', history: true}
  richest: {where: has_tag("rich") and stage() == "loyal", history: true}
  eager: {where: has_tag("engaged"), history: true}
  testers: {list: true, history: true}
  others: not in_segment("buyers")
stages:
  - {name: aware}
  - {name: first, where: 'count("order.paid") > 0'}
  - {name: loyal, where: 'count("order.paid", "30d") > 1'}
"""


@pytest.fixture
async def shop(world: World) -> World:
    await world.apply(catalogue=CATALOGUE)
    await follow(world.database, lambda: world.now)
    return world


async def told(world: World, *names: str) -> list[tuple[str, str, timedelta]]:
    """Events that the engine made: what of, and when after the start."""
    async with world.database.connect() as connection:
        rows = await connection.execute(
            sa.text(
                "SELECT e.name, coalesce(properties ->> 'segment', concat(properties ->> 'before', ' → ', "
                "properties ->> 'stage')) AS what, occurred_at FROM events e "
                "WHERE source = 'kairos' ORDER BY occurred_at, sequence"
            )
        )
        found = [(row.name, row.what, row.occurred_at - START) for row in rows]
    return [each for each in found if not names or each[0] in names]


async def inside(world: World, who: str = "c1") -> set[str]:
    profile_id = await world.profile(who)
    async with world.database.connect() as connection:
        return set((await derived.memberships(connection, [profile_id])).get(profile_id, {}))


async def stage(world: World, who: str = "c1") -> str | None:
    profile_id = await world.profile(who)
    async with world.database.connect() as connection:
        found = await derived.stages(connection, [profile_id])
        return found[profile_id][0] if profile_id in found else "aware"


async def test_an_event_takes_a_customer_in_at_its_own_instant(shop: World) -> None:
    await shop.event("order.paid", timedelta(minutes=1), total=50)
    await shop.route(timedelta(minutes=1, seconds=5))
    assert await told(shop) == [
        ("segment.entered", "buyers", timedelta(minutes=1)),
        ("stage.changed", "aware → first", timedelta(minutes=1)),
    ]
    assert (await inside(shop), await stage(shop)) == ({"buyers"}, "first")
    await shop.event("page.viewed", timedelta(minutes=2))
    await shop.route(timedelta(minutes=3))
    assert len(await told(shop)) == 2


async def test_what_followed_is_said_once_however_often_it_comes(shop: World) -> None:
    for minute in (1, 2):
        await shop.event("order.paid", timedelta(minutes=1), message_id="m", total=50)
        await shop.route(timedelta(minutes=minute))
    await compute(shop)
    assert len(await told(shop)) == 2


async def test_a_late_event_is_right_afterwards(shop: World) -> None:
    await shop.event("order.paid", 3 * DAY, total=50)
    await shop.route(3 * DAY)
    await shop.event("order.paid", DAY, total=60)
    await shop.route(3 * DAY + timedelta(hours=1))
    assert await stage(shop) == "loyal"
    assert await told(shop, "stage.changed") == [
        ("stage.changed", "aware → first", 3 * DAY),
        ("stage.changed", "first → loyal", 3 * DAY + timedelta(hours=1)),
    ]
    assert await inside(shop) == {"buyers", "richest"}


async def test_events_in_the_wrong_order_within_a_minute_are_right_too(shop: World) -> None:
    await shop.event("order.paid", timedelta(seconds=30), total=1)
    await shop.route(timedelta(seconds=31))
    await shop.event("order.paid", timedelta(seconds=10), total=1)
    await shop.route(timedelta(seconds=32))
    assert await stage(shop) == "loyal"


async def test_time_alone_lets_customers_leave_when_everybody_is_looked_at(shop: World) -> None:
    await shop.event("order.paid", total=150)
    await shop.event("order.paid", total=150)
    await shop.route(timedelta(minutes=1))
    assert await inside(shop) == {"buyers", "richest"}
    shop.now = START + 31 * DAY
    found = await compute(shop)
    assert {(done.place, done.came, done.went) for done in found} >= {
        (("tag", "rich"), 0, 1),
        (("segment", "buyers"), 0, 1),
        (("stage", ""), 1, 0),
    }
    assert await inside(shop) == set()
    assert (await told(shop))[-3:] == [
        ("segment.left", "buyers", 31 * DAY),
        ("segment.left", "richest", 31 * DAY),
        ("stage.changed", "loyal → first", 31 * DAY),
    ]


async def test_a_tag_by_a_rule_comes_with_its_source_and_goes(shop: World) -> None:
    await shop.event("order.paid", total=150)
    await shop.route(timedelta(minutes=1))
    profile_id = await shop.profile()
    async with shop.database.connect() as connection:
        [grant] = (await tags.of_profiles(connection, [profile_id]))[profile_id]
    assert (grant.tag, grant.source, grant.at) == ("rich", "rule", START)


async def test_a_tag_by_a_rule_counts_for_the_very_event_that_brings_it(world: World) -> None:
    where = 'where: has_tag("rich")'
    journey = f"journey: j\ntrigger:\n  event: order.paid\n  {where}\nsteps: []\n"
    await world.apply(journey, catalogue=CATALOGUE)
    await follow(world.database, lambda: world.now)
    await world.event("order.paid", of="c1", total=150)
    await world.event("order.paid", of="c2", total=50)
    await world.route(timedelta(seconds=1))
    assert [each.profile_id for each in await world.enrolments("j")] == [await world.profile("c1")]


async def test_consents_lists_and_attributes_count_at_once(shop: World) -> None:
    profile_id = await shop.profile()
    await shop.route(timedelta(minutes=1))
    at = START + timedelta(minutes=2)
    async with shop.database.begin() as connection:
        await change_batch(connection, [Change(profile_id, attributes={"tier": "gold"}, at=at)])
        await segments.add_batch(connection, [("testers", profile_id)])
    await shop.route(timedelta(minutes=3))
    assert await inside(shop) == {"testers"}
    async with shop.database.begin() as connection:
        await add_batch(connection, [Consent(profile_id, "sms", True, START + timedelta(minutes=4))])
        await segments.remove_batch(connection, [("testers", profile_id)])
    await shop.route(timedelta(minutes=5))
    assert await inside(shop) == {"golden"}
    assert await told(shop) == [
        ("segment.entered", "testers", timedelta(minutes=2)),
        ("segment.left", "testers", timedelta(minutes=4)),
        ("segment.entered", "golden", timedelta(minutes=4)),
    ]


async def test_a_tag_that_expires_is_seen_by_nobody_and_goes_at_its_instant(shop: World) -> None:
    profile_id = await shop.profile()
    until = START + 2 * DAY
    async with shop.database.begin() as connection:
        given = Change(profile_id, add_tags=("engaged",), tags_at=START, expire={"engaged": until})
        await change_batch(connection, [given])
    await shop.route(timedelta(minutes=1))
    assert await inside(shop) == {"eager"}
    shop.now = START + 3 * DAY
    assert await expire_tags(shop.database, lambda: until - timedelta(seconds=1)) == 0
    assert await expire_tags(shop.database, lambda: shop.now) == 1
    assert await expire_tags(shop.database, lambda: shop.now) == 0
    await shop.route()
    assert await inside(shop) == set()
    async with shop.database.connect() as connection:
        assert await tags.of_profiles(connection, [profile_id]) == {}


async def test_who_is_in_it_at_first_is_noted_without_events(world: World) -> None:
    await world.apply(catalogue=CATALOGUE)
    await world.event("order.paid", total=1)
    await world.route(timedelta(minutes=1))
    assert await told(world) == []
    found = await follow(world.database, lambda: world.now)
    assert found is not None
    assert all(done.quiet for done in found.done)
    assert (await inside(world), await stage(world), await told(world)) == ({"buyers"}, "first", [])
    assert await follow(world.database, lambda: world.now) is None


async def test_another_meaning_is_noted_without_events(shop: World) -> None:
    await shop.event("order.paid", total=1)
    await shop.route(timedelta(minutes=1))
    before = await told(shop)
    await shop.apply(catalogue=CATALOGUE.replace('"30d") > 0', '"30d") > 1'))
    await follow(shop.database, lambda: shop.now)
    assert (await inside(shop), await told(shop)) == (set(), before)
    async with shop.database.connect() as connection:
        [last, first] = await derived.history(connection, "buyers")
    assert (first.entered, first.quiet, last.entered, last.quiet) == (True, False, False, True)


async def test_a_segment_that_the_catalogue_drops_is_followed_no_longer(shop: World) -> None:
    await shop.event("order.paid", total=1)
    await shop.route(timedelta(minutes=1))
    await shop.apply(catalogue=CATALOGUE.replace("0', history: true}", "0', history: false}"))
    await follow(shop.database, lambda: shop.now)
    assert await inside(shop) == set()
    async with shop.database.connect() as connection:
        assert ("segment", "buyers") not in [each.place for each in await derived.followed(connection)]


HEARD = """
events: {order.paid: {}}
segments:
  buyers: count("order.paid") > 0
  others: count("order.paid") > 9
"""


@pytest.mark.parametrize(
    ("trigger", "wanted"),
    [
        ("event: segment.entered, where: 'event.segment == \"others\"'", {"others"}),
        ("event: segment.left", {"others", "buyers"}),
        ("event: order.paid", set()),
    ],
)
async def test_a_journey_that_listens_has_its_segments_followed(
    world: World, trigger: str, wanted: set[str]
) -> None:
    await world.apply(f"journey: j\ntrigger: {{{trigger}}}\nsteps: []\n", catalogue=HEARD)
    await follow(world.database, lambda: world.now)
    async with world.database.connect() as connection:
        assert {each.name for each in await derived.followed(connection)} == wanted


async def test_killed_between_slices_the_next_run_finds_the_rest(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.ingest.recomputing.SLICE", 2)
    monkeypatch.setattr("engine.store.recomputing.SLICE", 2)
    for number in range(7):
        await shop.event("order.paid", of=f"c{number}", total=1)
    async with shop.database.begin() as connection:
        await connection.execute(sa.text("UPDATE events SET routed_at = now()"))
    await compute(shop, "stage")

    class Killed(Exception):
        pass

    slices = 0

    def heard(done: Done) -> None:
        nonlocal slices
        slices += 1
        if slices == 2:
            raise Killed

    with pytest.raises(Killed):
        await recompute(shop.database, ["segment"], heard=heard, wall=lambda: shop.now)
    assert len(await told(shop, "segment.entered")) == 4
    await compute(shop)
    entered = await told(shop, "segment.entered")
    assert len(entered) == 7
    await compute(shop)
    assert await told(shop, "segment.entered") == entered


async def test_while_everybody_is_looked_at_single_customers_wait(shop: World) -> None:
    async with shop.database.connect() as holder:
        await derived.hold(holder)
        await shop.event("order.paid", timedelta(minutes=1), total=1)
        await shop.route(timedelta(minutes=1))
        assert await inside(shop) == set()
        await derived.release(holder)
    await shop.route(timedelta(minutes=10))
    assert (await inside(shop), (await told(shop))[0][2]) == ({"buyers"}, timedelta(minutes=10))


async def test_months_are_computed_one_after_the_other_and_never_backwards(shop: World) -> None:
    await shop.event("order.paid", -70 * DAY, total=1)
    await shop.event("order.paid", -10 * DAY, total=1)
    async with shop.database.begin() as connection:
        await connection.execute(sa.text("UPDATE events SET routed_at = now()"))
    with pytest.raises(RecomputeError, match="--afresh"):
        await recompute(shop.database, as_of=START - 90 * DAY, wall=lambda: shop.now)
    with pytest.raises(RecomputeError, match="to come"):
        await recompute(shop.database, as_of=START + DAY, wall=lambda: shop.now)
    await recompute(shop.database, as_of=START - 90 * DAY, afresh=True, wall=lambda: shop.now)
    for days in (-60, -30, 0):
        await recompute(shop.database, as_of=START + days * DAY, wall=lambda: shop.now)
    assert await told(shop, "segment.entered", "segment.left") == [
        ("segment.entered", "buyers", -60 * DAY),
        ("segment.left", "buyers", -30 * DAY),
        ("segment.entered", "buyers", timedelta(0)),
    ]


async def compute(world: World, *kinds: Any) -> list[Done]:
    found = await recompute(world.database, kinds or ("tag", "segment", "stage"), wall=lambda: world.now)
    return found.done
