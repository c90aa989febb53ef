"""Whatever happens in whatever order, what is followed is in the end what a fresh look says."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.customers.facts import FactsRequest, definitions_of, load_facts
from engine.customers.followed import in_segment, meaning_of
from engine.ingest.recomputing import KINDS, expire_tags, follow, recompute
from engine.ingest.router import Router
from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.expressions import evaluate, holds, requirements
from engine.language.loader import load
from engine.store import consents, derived, profiles, segments
from engine.store.consents import Consent
from engine.store.database import open_database
from engine.store.profiles import Change
from tests.integration.ingest.test_following import CATALOGUE
from tests.integration.ingest.world import START, World

MINUTE = timedelta(minutes=1)
WHO = ["c1", "c2", "c3"]
who = st.sampled_from(WHO)
ago = st.integers(0, 60 * 24 * 40).map(lambda minutes: minutes * MINUTE)
steps = st.one_of(
    st.tuples(st.just("event"), who, ago, st.integers(1, 200), st.integers(1, 6)),
    st.tuples(st.just("set"), who, st.sampled_from(["gold", "silver", None])),
    st.tuples(st.just("tag"), who, st.sampled_from(["engaged", "staff"]), st.booleans()),
    st.tuples(st.just("stage"), who, st.sampled_from(["loyal", "aware"])),
    st.tuples(st.just("consent"), who, st.booleans()),
    st.tuples(st.just("list"), who, st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 60 * 24 * 20)),
    st.tuples(st.just("route")),
    st.tuples(st.just("expire")),
    st.tuples(st.just("recompute"), st.sampled_from(["tag", "segment", "stage", "all"])),
)


async def do(world: World, step: tuple[Any, ...], number: int) -> None:
    at = world.now
    match step:
        case ("event", of, before, total, message):
            after = at - START - before
            await world.event("order.paid", after, of=of, message_id=f"{number // 40}-{message}", total=total)
        case ("set", of, tier):
            await edit(world, Change(await world.profile(of), attributes={"tier": tier}, at=at))
        case ("tag", of, tag, True):
            expire = {tag: at + timedelta(days=2)} if tag == "engaged" else {}
            await edit(world, Change(await world.profile(of), add_tags=(tag,), tags_at=at, expire=expire))
        case ("tag", of, tag, False):
            await edit(world, Change(await world.profile(of), remove_tags=(tag,), tags_at=at))
        case ("stage", of, stage):
            await edit(world, Change(await world.profile(of), stage=stage, tags_at=at))
        case ("consent", of, granted):
            profile_id = await world.profile(of)
            async with world.database.begin() as connection:
                await consents.add_batch(connection, [Consent(profile_id, "sms", granted, at)])
        case ("list", of, joins):
            members = [("testers", await world.profile(of))]
            async with world.database.begin() as connection:
                await (segments.add_batch if joins else segments.remove_batch)(connection, members)
        case ("wait", minutes):
            world.now += minutes * MINUTE
        case ("route",):
            await world.route()
        case ("expire",):
            await expire_tags(world.database, lambda: world.now)
        case ("recompute", kind):
            kinds = KINDS if kind == "all" else [each for each in KINDS if each == kind]
            await recompute(world.database, kinds, wall=lambda: world.now)


async def edit(world: World, change: Change) -> None:
    async with world.database.begin() as connection:
        await profiles.change_batch(connection, [change])


async def compared(world: World) -> None:
    catalogue = read_catalogue(load("journeys/catalog.yaml", CATALOGUE)[0])
    meaning = meaning_of(catalogue)
    followed = [name for name, wanted in catalogue.histories.items() if wanted]
    texts = [*meaning.texts.values()]
    needs = requirements(texts, definitions_of(catalogue))
    ids = [await world.profile(name) for name in WHO]
    async with world.database.connect() as connection:
        found = await load_facts(connection, [FactsRequest(i, world.now, needs) for i in ids], catalogue)
        inside = await derived.memberships(connection, ids)
        stages = await derived.stages(connection, ids)
        for profile_id, facts in zip(ids, found, strict=True):
            assert ("rich" in facts.tags) == holds(catalogue.rules["rich"], facts)
            wanted = {name for name in followed if holds(in_segment(name), facts)}
            assert set(inside.get(profile_id, {})) == wanted
            assert stages.get(profile_id, ("aware", None))[0] == evaluate("stage()", facts)
        await alternating(connection, catalogue)


async def alternating(connection: Any, catalogue: Catalogue) -> None:
    for name in catalogue.segments:
        lines: dict[str, list[derived.Passage]] = {}
        for line in reversed(await derived.history(connection, name, 1000)):
            lines.setdefault(line.profile_id, []).append(line)
        for own in lines.values():
            assert [line.entered for line in own] == [place % 2 == 0 for place in range(len(own))]
            assert [line.at for line in own] == sorted(line.at for line in own)


class Ground:
    """One event loop for all examples, each with customers of its own."""

    def __init__(self, new_database: Any) -> None:
        self.runner = asyncio.Runner()
        self.new_database = new_database

    def check(self, script: list[tuple[Any, ...]]) -> None:
        self.runner.run(self._check(script))

    async def _check(self, script: list[tuple[Any, ...]]) -> None:
        database = open_database(self.new_database())
        try:
            world = World(database)
            await world.apply(catalogue=CATALOGUE)
            await follow(database, lambda: world.now)
            for number, step in enumerate(script):
                await do(world, step, number)
            await expire_tags(database, lambda: world.now)
            await world.route()
            # Time alone tells nobody: the last look is at everybody.
            await recompute(database, wall=lambda: world.now)
            await world.route()
            await compared(world)
            before = await told(world)
            await recompute(database, wall=lambda: world.now)
            assert await told(world) == before
        finally:
            await database.dispose()


async def told(world: World) -> int:
    async with world.database.connect() as connection:
        found = await connection.execute(sa.text("SELECT count(*) FROM events WHERE source = 'kairos'"))
        return int(found.scalar_one())


@pytest.fixture(scope="module")
def ground(new_database: Any) -> Any:
    found = Ground(new_database)
    yield found
    found.runner.close()


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(steps, min_size=4, max_size=30))
def test_what_is_followed_is_what_a_fresh_look_says(ground: Ground, script: list[tuple[Any, ...]]) -> None:
    ground.check(script)


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(steps.filter(lambda step: step[0] not in ("wait", "recompute")), min_size=4, max_size=25))
def test_without_the_passing_of_time_single_looks_are_enough(
    ground: Ground, script: list[tuple[Any, ...]]
) -> None:
    ground.runner.run(_single(ground, script))


async def _single(ground: Ground, script: list[tuple[Any, ...]]) -> None:
    database = open_database(ground.new_database())
    try:
        world = World(database)
        await world.apply(catalogue=CATALOGUE)
        await follow(database, lambda: world.now)
        for number, step in enumerate(script):
            await do(world, step, number)
        await world.route()
        await compared(world)
    finally:
        await database.dispose()


async def test_routers_and_a_look_at_everybody_do_not_disturb_each_other(database_url: str) -> None:
    database = open_database(database_url)
    try:
        world = World(database)
        await world.apply(catalogue=CATALOGUE)
        await follow(database, lambda: world.now)
        routers = [world.router, Router(database, wall=lambda: world.now)]
        done = asyncio.Event()

        async def sweeping(router: Router) -> None:
            while not done.is_set():
                await router.sweep()

        async def computing() -> None:
            while not done.is_set():
                await recompute(database, wall=lambda: world.now)
                await expire_tags(database, lambda: world.now)

        async def living() -> None:
            for number in range(60):
                of = WHO[number % 3]
                for step in (
                    ("event", of, number * MINUTE, 40, number),
                    ("tag", of, ("engaged", "staff")[number % 2], number % 5 > 1),
                    ("set", of, ("gold", "silver")[number % 4 > 1]),
                    ("consent", of, number % 3 > 0),
                    ("list", of, number % 2 > 0),
                ):
                    await do(world, step, number * 40)
            done.set()

        async with asyncio.timeout(120):
            await asyncio.gather(*(sweeping(router) for router in routers), computing(), living())
        await world.route()
        await compared(world)
        before = await told(world)
        await recompute(database, wall=lambda: world.now)
        assert await told(world) == before
    finally:
        await database.dispose()
