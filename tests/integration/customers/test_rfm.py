"""RFM: scores over all customers, against an independent computation, and one customer's after an event."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from engine.core.identity import event_id
from engine.customers import facts, rfm
from engine.customers.applied import applied
from engine.customers.facts import FactsRequest
from engine.customers.resolve import resolve_batch
from engine.ingest.erasure import erase_person, export_person
from engine.ingest.intake import accept
from engine.language.expressions import evaluate, parse, requirements
from engine.language.expressions.sql import Setting, condition
from engine.language.knowledge import Rfm, usual_segments
from engine.store import events, populations
from engine.store.database import open_database
from engine.store.events import NewEvent
from examples.cdnow.records import Purchase, purchases
from tests.integration.ingest.world import START, World

pytestmark = pytest.mark.integration
CATALOGUE = """
events:
  order.paid:
    properties: {cart_id: text, total: number}
rfm: {event: order.paid, money: total}
"""
Scores = dict[str, tuple[int, int, int]]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    database = open_database(database_url)
    world = World(database)
    await world.apply(catalogue=CATALOGUE)
    yield world
    await database.dispose()


async def bring(world: World, bought: Iterable[Purchase]) -> dict[str, str]:
    """Makes the customers and their purchases, routed; gives back the profile of each."""
    rows = list(bought)
    names = sorted({each.customer for each in rows})
    async with world.database.begin() as connection:
        found = await resolve_batch(connection, [[("external_id", name)] for name in names])
        ids = {name: each.profile_id for name, each in zip(names, found, strict=True)}
        new = [
            NewEvent(
                event_id("cdnow", str(number)),
                ids[each.customer],
                "order.paid",
                each.at,
                each.at,
                "cdnow",
                str(number),
                {"total": each.total},
            )
            for number, each in enumerate(rows)
        ]
        await events.insert_batch(connection, new)
        await connection.execute(sa.text("UPDATE events SET routed_at = received_at"))
    return ids


async def kept(world: World) -> Scores:
    """Scores by external id."""
    async with world.database.connect() as connection:
        rows = await connection.execute(
            sa.text(
                "SELECT external_id, recency, frequency, monetary FROM rfm JOIN profiles ON id = profile_id"
            )
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows}


def by_pandas(bought: Iterable[Purchase], at: datetime, parts: int) -> Scores:
    """The same by ranks: the share of customers with a smaller value says the score."""
    frame = pd.DataFrame(
        [(each.customer, each.at, each.total) for each in bought], columns=["who", "at", "total"]
    )
    people = (
        frame[frame["at"] <= at].groupby("who").agg(r=("at", "max"), f=("at", "size"), m=("total", "sum"))
    )
    people["m"] = people["m"].round(2)
    ranks = people.rank(method="min").astype(int) - 1
    scores = ranks * parts // len(people) + 1
    return {str(who): (int(r), int(f), int(m)) for who, r, f, m in scores.itertuples()}


async def test_scores_are_those_that_pandas_finds(world: World) -> None:
    everything = list(purchases())
    await bring(world, everything)
    for at in (datetime(1998, 6, 30, tzinfo=UTC), datetime(1997, 9, 30, tzinfo=UTC)):
        done = await rfm.recompute_rfm(world.database, at)
        wanted = by_pandas(everything, at, 5)
        assert done is not None
        assert done.base == len(wanted)
        assert await kept(world) == wanted
    assert len(wanted) == 2357


async def test_as_of_any_date_is_what_a_recomputation_would_keep(world: World) -> None:
    await bring(world, itertools.islice(purchases(), 900))
    at = datetime(1997, 6, 30, tzinfo=UTC)
    async with world.database.connect() as connection:
        seen = await rfm.standing(connection, at)
        assert await rfm.standing(connection) is None
    await rfm.recompute_rfm(world.database, at)
    async with world.database.connect() as connection:
        stored = await rfm.standing(connection)
    assert seen == stored
    assert seen is not None
    assert sum(seen.segments.values()) == sum(map(sum, seen.grid)) == seen.cuts.base


async def test_the_same_again_writes_nothing(world: World) -> None:
    await bring(world, itertools.islice(purchases(), 300))
    at = datetime(1998, 6, 30, tzinfo=UTC)
    first, again = [await rfm.recompute_rfm(world.database, at) for _ in range(2)]
    assert first is not None
    assert first.written == first.base > 50
    assert again is not None
    assert (again.base, again.written, again.gone) == (first.base, 0, 0)


async def test_a_crash_in_the_middle_leaves_everything_as_it_was(world: World) -> None:
    await bring(world, itertools.islice(purchases(), 300))
    at = datetime(1998, 6, 30, tzinfo=UTC)
    await rfm.recompute_rfm(world.database, at - timedelta(days=200))
    before = await kept(world)
    async with world.database.begin() as connection:
        await connection.execute(
            sa.text("ALTER TABLE rfm_cuts ADD CONSTRAINT breaks CHECK (computed_at < '1998-06-01Z')")
        )
    with pytest.raises(sa.exc.IntegrityError):
        await rfm.recompute_rfm(world.database, at)
    assert await kept(world) == before
    async with world.database.begin() as connection:
        await connection.execute(sa.text("ALTER TABLE rfm_cuts DROP CONSTRAINT breaks"))
    await rfm.recompute_rfm(world.database, at)
    assert await kept(world) != before


SOME = [
    Purchase(name, START - timedelta(days=days), 1, total)
    for name, days, total in [
        *[("a", 90, 10.0), ("b", 80, 10.0), ("c", 70, 30.0), ("d", 60, 40.0), ("e", 50, 50.0)],
        *[("e", 40, 50.0), ("d", 30, 1.0), ("e", 20, 1.0)],
    ]
]


async def test_an_event_scores_its_customer_by_the_cuts_that_are_kept(world: World) -> None:
    await bring(world, SOME)
    await rfm.recompute_rfm(world.database, START)
    before = await kept(world)
    assert before["a"] == (1, 1, 1)
    await world.event("order.paid", timedelta(minutes=1), of="a", total=500)
    await world.event("order.paid", timedelta(minutes=1), of="new", total=20)
    await world.event("order.paid", timedelta(minutes=1), of="new", message_id="again", total=0)
    await world.route(timedelta(minutes=2))
    after = await kept(world)
    assert after == before | {"a": (5, 4, 5), "new": (5, 4, 3)}
    # What is recomputed knows them all.
    await rfm.recompute_rfm(world.database, START + timedelta(hours=1))
    assert set(await kept(world)) == {*"abcde", "new"}


async def test_late_and_repeated_events_count_as_if_they_had_come_in_time(world: World) -> None:
    await bring(world, SOME)
    await rfm.recompute_rfm(world.database, START)
    await world.event("order.paid", timedelta(days=-65), of="a", message_id="late", total=500)
    await world.route(timedelta(minutes=2))
    once = await kept(world)
    await world.event("order.paid", timedelta(days=-65), of="a", message_id="late", total=500)
    await world.route(timedelta(minutes=3))
    assert await kept(world) == once
    await rfm.recompute_rfm(world.database, START)
    assert (await kept(world))["a"][0] < 4


async def test_nobody_is_scored_before_the_first_recomputation(world: World) -> None:
    await world.event("order.paid", total=500)
    await world.route(timedelta(minutes=2))
    assert await kept(world) == {}


async def test_the_first_customer_after_a_recomputation_of_nobody_has_no_score_yet(world: World) -> None:
    assert await rfm.recompute_rfm(world.database, START) is not None
    await world.event("order.paid", total=5)
    await world.route(timedelta(minutes=1))
    assert await kept(world) == {}
    await rfm.recompute_rfm(world.database, START + timedelta(hours=1))
    assert len(await kept(world)) == 1


async def test_cuts_of_another_definition_score_nobody(world: World) -> None:
    await bring(world, SOME)
    await rfm.recompute_rfm(world.database, START)
    before = await kept(world)
    await world.apply(catalogue=CATALOGUE.replace("money: total", "money: total, quantiles: 3"))
    await world.event("order.paid", timedelta(minutes=1), of="a", total=500)
    await world.route(timedelta(minutes=2))
    assert await kept(world) == before
    await rfm.recompute_rfm(world.database, START + timedelta(hours=1))
    assert max(score for row in (await kept(world)).values() for score in row) == 3


async def test_with_a_window_older_events_do_not_count(world: World) -> None:
    await world.apply(catalogue=CATALOGUE.replace("money: total", "money: total, within: 65d"))
    await bring(world, SOME)
    await rfm.recompute_rfm(world.database, START)
    assert set(await kept(world)) == {"d", "e"}
    await rfm.recompute_rfm(world.database, START + timedelta(days=40))
    assert set(await kept(world)) == {"e"}


async def test_scores_are_read_by_both_back_ends(world: World) -> None:
    ids = await bring(world, SOME)
    await world.profile("quiet")
    await rfm.recompute_rfm(world.database, START)
    texts = [
        "profile.rfm_recency",
        "profile.rfm_frequency * 2",
        "profile.rfm_segment",
        "profile.rfm_monetary > 4",
    ]
    async with world.database.connect() as connection:
        catalogue = (await applied(connection)).catalogue
        needs = requirements(texts, facts.definitions_of(catalogue))
        people = [ids["e"], ids["a"], await world.profile("quiet")]
        loaded = await facts.load_facts(
            connection, [FactsRequest(i, START, needs) for i in people], catalogue
        )
        assert [[evaluate(text, one) for text in texts] for one in loaded] == [
            [5, 10, "loyal-fans", True],
            [1, 2, "potential-fans", False],
            [None, None, None, False],
        ]
        wanted = {
            "profile.rfm_segment == 'loyal-fans'": 2,
            "profile.rfm_monetary > 4 and profile.rfm_recency == 5": 1,
            "exists(profile.rfm_frequency)": 5,
            "not exists(profile.rfm_segment)": 1,
        }
        for text, count in wanted.items():
            for way in ("all", "each"):
                found = condition(parse(text), Setting(catalogue), START, way)
                assert await populations.count(connection, found) == count, (text, way)


async def test_merging_scores_the_survivor_anew_and_erasing_takes_the_row(world: World) -> None:
    await bring(world, SOME)
    await rfm.recompute_rfm(world.database, START)
    bought = {"type": "track", "anonymousId": "visitor", "event": "order.paid", "properties": {"total": 900}}
    await accept(world.database, "shop", [bought], START)
    await world.route(timedelta(minutes=2))
    assert len(await kept(world)) == 6
    both = {"type": "identify", "userId": "a", "anonymousId": "visitor"}
    await accept(world.database, "shop", [both], START + timedelta(minutes=3))
    assert set(await kept(world)) == set("abcde")
    assert (await kept(world))["a"] == (5, 4, 5)
    profile_id = await world.profile("a")
    async with world.database.connect() as connection:
        [row] = (await export_person(connection, profile_id))["rfm"]
    assert row["segment"] == "loyal-fans"
    await erase_person(world.database, profile_id)
    assert "a" not in await kept(world)
    # The rows of their events stay, as numbers that nobody has.
    done = await rfm.recompute_rfm(world.database, START)
    assert done is not None
    assert (done.base, "a" in await kept(world)) == (4, False)


@given(st.integers(2, 10))
def test_the_usual_segments_cover_every_cell(parts: int) -> None:
    measured = rfm.measured(Rfm("order.paid", "total", None, parts, usual_segments(parts)))
    scores = range(1, parts + 1)
    cells = {cell: measured.cell(*cell) for cell in itertools.product(scores, repeat=3)}
    assert None not in cells.values()
    assert cells[1, parts, parts] == "loyal-fans"
    assert cells[1, 1, 1] == "potential-fans"
    assert {cells[1, parts, 1], cells[1, 1, parts]} == {"strong-fans", "true-love-fans"}
