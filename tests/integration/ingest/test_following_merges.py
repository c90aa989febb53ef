"""Two customers turn out to be one, or two again: memberships, stage and tags with their grants follow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.customers.review import undo
from engine.ingest.erasure import erase_person
from engine.ingest.recomputing import follow
from engine.language.installation import Identities
from engine.store import derived, merging, profiles, tags
from engine.store.profiles import Change, change_batch
from tests.integration.ingest.test_following import CATALOGUE, inside, stage, told
from tests.integration.ingest.world import START, World

HOUR = timedelta(hours=1)


@pytest.fixture
async def pair(world: World) -> tuple[World, str, str]:
    """A loyal customer with a tag, and one who only bought once."""
    await world.apply(catalogue=CATALOGUE)
    await follow(world.database, lambda: world.now)
    one, two = await world.profile("c1"), await world.profile("c2")
    for who, count in (("c1", 1), ("c2", 2)):
        for number in range(count):
            await world.event("order.paid", number * timedelta(seconds=1), of=who, total=60)
    async with world.database.begin() as connection:
        await change_batch(
            connection,
            [
                Change(
                    one,
                    add_tags=("staff", "engaged"),
                    tags_at=START,
                    source="ada",
                    expire={"engaged": START + 2 * HOUR},
                ),
                Change(
                    two,
                    add_tags=("engaged",),
                    tags_at=START + HOUR,
                    source="shop",
                    expire={"engaged": START + 48 * HOUR},
                ),
            ],
        )
    await world.route(timedelta(minutes=1))
    return world, one, two


async def grants(world: World, profile_id: str) -> dict[str, str | None]:
    async with world.database.connect() as connection:
        found = await tags.of_profiles(connection, [profile_id])
        return {grant.tag: grant.source for grant in found.get(profile_id, [])}


async def test_a_merge_takes_everything_along_and_says_only_what_is_new(pair: tuple[World, str, str]) -> None:
    world, one, two = pair
    before = await told(world)
    assert (await inside(world, "c2"), await stage(world, "c2")) == ({"buyers", "eager", "richest"}, "loyal")
    async with world.database.begin() as connection:
        await merging.merge(connection, one, two, START + 2 * HOUR)
    await world.route(2 * HOUR + timedelta(seconds=5))
    assert (await inside(world, "c1"), await stage(world, "c1")) == ({"buyers", "eager", "richest"}, "loyal")
    assert await grants(world, one) == {"staff": "ada", "engaged": "shop", "rich": "rule"}
    assert await grants(world, two) == {}
    async with world.database.connect() as connection:
        kept = (await profiles.get_batch(connection, [one]))[one]
        assert kept.tags_expire_at == START + 48 * HOUR
        assert await derived.memberships(connection, [two]) == {}
        for segment in ("buyers", "eager", "richest"):
            lines = await derived.history(connection, segment)
            mine = [line.entered for line in reversed(lines) if line.profile_id == one]
            assert mine == [True]
    assert [each for each in await told(world) if each not in before] == [
        ("stage.changed", "first → loyal", 2 * HOUR)
    ]


async def test_an_undone_merge_gives_back_what_was(pair: tuple[World, str, str]) -> None:
    world, one, two = pair
    was = {who: (await inside(world, who), await stage(world, who)) for who in ("c1", "c2")}
    async with world.database.begin() as connection:
        merge_id = await merging.merge(connection, one, two, START + 2 * HOUR)
    assert merge_id is not None
    await world.route(3 * HOUR)
    before = await told(world)
    async with world.database.begin() as connection:
        await undo(connection, merge_id, None, Identities())
    await world.route(4 * HOUR)
    async with world.database.connect() as connection:
        both = await derived.memberships(connection, [one, two])
        stages = await derived.stages(connection, [one, two])
        known = await profiles.get_batch(connection, [one, two])
    assert {who: (set(both[i]), stages[i][0]) for who, i in (("c1", one), ("c2", two))} == {
        "c1": (was["c1"][0] - {"eager"}, was["c1"][1]),  # its tag has expired by now
        "c2": was["c2"],
    }
    assert await grants(world, one) == {"staff": "ada", "engaged": "ada"}
    assert await grants(world, two) == {"engaged": "shop", "rich": "rule"}
    assert (known[one].tags, known[two].tags) == (["engaged", "staff"], ["engaged", "rich"])
    assert await told(world) == before


async def test_nothing_of_an_erased_person_is_followed(pair: tuple[World, str, str]) -> None:
    world, one, _ = pair
    await erase_person(world.database, one)
    await world.route(4 * HOUR)
    async with world.database.connect() as connection:
        assert await derived.memberships(connection, [one]) == {}
        assert await derived.stages(connection, [one]) == {}
        assert await tags.of_profiles(connection, [one]) == {}
