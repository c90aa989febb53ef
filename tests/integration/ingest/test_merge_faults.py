"""A merge that is cut off at any statement, and merges beside a crowd that enters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ingest.crowds import Crowds
from engine.ingest.intake import accept
from engine.store.tables import metadata
from tests.integration.ingest.test_crowds import SALE, ask
from tests.integration.ingest.test_merging import WELCOME, cart, identify, say
from tests.integration.ingest.world import START, World

WALL = {"created_at", "updated_at", "merged_at", "received_at", "recorded_at", "added_at", "closed_at"}


class CutOff(BaseException):
    """The process ends here: nothing catches it, and the connection is gone."""


@dataclass
class Statements:
    seen: int = 0


@contextmanager
def cut_off_at(world: World, statement: int | None) -> Iterator[Statements]:
    """Ends whatever runs before its so-manieth statement; None only counts them."""
    counted = Statements()
    engine = world.database.sync_engine

    def look(connection: Any, cursor: Any, text: str, *more: Any) -> None:
        counted.seen += 1
        if counted.seen == statement:
            connection.invalidate()
            raise CutOff

    sa.event.listen(engine, "before_cursor_execute", look)
    try:
        yield counted
    finally:
        sa.event.remove(engine, "before_cursor_execute", look)


async def everything(world: World) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, without what the wall clock and sequences give."""
    found = {}
    async with world.database.connect() as connection:
        for table in metadata.sorted_tables:
            columns = [c for c in table.c if c.name not in WALL and not isinstance(c.type, sa.BigInteger)]
            rows = (await connection.execute(sa.select(*columns))).mappings().all()
            found[table.name] = sorted((dict(row) for row in rows), key=repr)
    return found


async def two_customers(world: World) -> dict[str, Any]:
    """A visitor and a customer, both in one journey; the message that makes them one."""
    await world.apply(WELCOME)
    await say(world.database, cart(visitor="a-1"), identify(visitor="a-1", first_name="Mei", tags=["tea"]))
    await world.route(timedelta(minutes=1))
    await say(
        world.database, cart("c-1"), identify("c-1", first_name="Lan", consents=["sms"], phone="13800138000")
    )
    await world.route(timedelta(minutes=2))
    return {**identify("c-1", "a-1", tags=["staff"]), "messageId": "same"}


async def merge(world: World, message: dict[str, Any]) -> None:
    await accept(world.database, "shop", [message], START + timedelta(minutes=4))


async def test_a_merge_that_is_cut_off_anywhere_leaves_nothing_and_comes_to_the_same_the_next_time(
    world: World,
) -> None:
    message = await two_customers(world)
    before = await everything(world)
    cut = 0
    while True:
        cut += 1
        with cut_off_at(world, cut) as counted:
            try:
                await merge(world, message)
            except CutOff:
                pass
            else:
                break
        assert await everything(world) == before, f"cut off before statement {cut}"
    assert cut == counted.seen + 1 > 20, "the last one went through"
    after = await everything(world)
    assert len(after["merges"]) == 1
    assert [row["exit"] for row in after["enrolments"] if row["status"] == "ended"] == ["superseded"]
    assert sum(row["status"] == "live" for row in after["enrolments"]) == 1
    await merge(world, message)  # the sender had no answer, and sends it again
    assert await everything(world) == after


@pytest.mark.parametrize("seed", range(3))
async def test_merges_beside_a_crowd_leave_everybody_in_it_once(world: World, seed: int) -> None:
    await world.apply(SALE)
    pairs = 12
    for number in range(pairs):
        await say(world.database, cart(f"c-{number}"), cart(visitor=f"a-{number}"))
    await world.route(timedelta(minutes=1))
    crowd_id = await ask(world)

    async def enter() -> None:
        worker = Crowds(world.database, limit=1 + seed, wall=lambda: world.now)
        over = False
        while not over:
            crowd = await worker.advance(crowd_id)
            assert crowd is not None
            over = crowd.over

    async def meet(number: int) -> None:
        await asyncio.sleep(0.01 * ((number * (7 + seed)) % pairs))
        await say(world.database, identify(f"c-{number}", f"a-{number}"), after=2)

    await asyncio.gather(enter(), *(meet(number) for number in range(pairs)))
    await world.route(timedelta(minutes=3))
    rows = await world.enrolments("sale")
    live = Counter(each.profile_id for each in rows if each.status == "live")
    async with world.database.connect() as connection:
        people = await connection.execute(sa.text("SELECT id FROM profiles WHERE merged_into IS NULL"))
        assert live == {str(row.id): 1 for row in people}
    assert {each.exit for each in rows if each.status == "ended"} <= {"superseded"}
