"""Intervals and stages of the shipped catalogue, against an independent computation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from engine.customers.applied import catalogue_of
from engine.customers.facts import FactsRequest, definitions_of, load_facts
from engine.language.expressions import Facts, Occurrence, evaluate, parse, requirements
from engine.language.expressions.sql import Setting, column
from engine.store.database import open_database
from examples.cdnow.records import purchases
from tests.integration.customers.test_rfm import bring
from tests.integration.ingest.world import World

pytestmark = pytest.mark.integration
CATALOGUE = catalogue_of(
    (Path(__file__).parents[3] / "journeys" / "catalog.yaml").read_text(encoding="utf-8")
)
AT = datetime(1998, 1, 1, tzinfo=UTC)
TEXTS = (
    "profile.days_between_orders",
    "profile.overdue",
    "profile.next_order_in",
    "stage()",
    "profile.spent",
)


def by_pandas(at: datetime) -> pd.DataFrame:
    frame = pd.DataFrame(
        [(each.customer, each.at, each.total) for each in purchases()], columns=["who", "at", "total"]
    )
    frame = frame[frame["at"] <= at]
    people = frame.groupby("who").agg(first=("at", "min"), last=("at", "max"), n=("at", "size"))
    recent = (
        frame[frame["at"] >= at - timedelta(days=365)]
        .groupby("who")
        .agg(n=("at", "size"), spent=("total", "sum"))
    )
    quiet = (at - people["last"]).dt.days
    interval = ((people["last"] - people["first"]).dt.days / (people["n"] - 1)).where(people["n"] > 1)
    usual = interval >= 1
    people["interval"], people["next"] = interval, interval - quiet
    people["overdue"] = (usual & (quiet > 1.5 * interval)) | (~usual & (quiet >= 25))
    people["spent"] = recent["spent"].round(2)
    people["stage"] = "first-purchase"
    people.loc[people["n"] > 1, "stage"] = "repeat"
    people.loc[recent["n"].reindex(people.index, fill_value=0) >= 4, "stage"] = "loyal"
    people.loc[people["overdue"], "stage"] = "nearing-dormancy"
    people.loc[people["overdue"] & (quiet >= 180), "stage"] = "lost"
    return people


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    database = open_database(database_url)
    yield World(database)
    await database.dispose()


async def test_both_back_ends_find_what_pandas_finds(world: World) -> None:
    ids = await bring(world, purchases())
    stages = [await compared(world, ids, at) for at in (AT, datetime(1997, 3, 20, tzinfo=UTC))]
    assert set().union(*stages) == {stage.name for stage in CATALOGUE.stages}


async def compared(world: World, ids: dict[str, str], at: datetime) -> set[str]:
    wanted, names = by_pandas(at), list(ids)
    async with world.database.connect() as connection:
        needs = requirements(TEXTS, definitions_of(CATALOGUE))
        requests = [FactsRequest(ids[name], at, needs) for name in names]
        loaded = await load_facts(connection, requests, CATALOGUE)
        closures = {
            name: [evaluate(text, one) for text in TEXTS] for name, one in zip(names, loaded, strict=True)
        }
        queries: dict[str, list[object]] = {name: [] for name in names}
        for text in TEXTS:
            found = column(parse(text), Setting(CATALOGUE), at)
            rows = await connection.execute(
                sa.text(f"SELECT p.external_id, {found.sql} FROM profiles p {found.joins}"), found.parameters
            )
            for name, value in rows:
                queries[name].append(value)
    assert closures == queries
    for name, row in wanted.iterrows():
        interval, overdue, next_in, stage, spent = closures[str(name)]
        assert (overdue, stage, spent or 0) == (row["overdue"], row["stage"], row["spent"]), name
        assert interval == pytest.approx(row["interval"], nan_ok=True) or (interval is None and row["n"] == 1)
        assert (next_in is None) == (row["n"] == 1)
    return {str(row[3]) for row in closures.values()}


def days(*ago: float) -> Facts:
    paid = [Occurrence(AT - timedelta(days=each), {"total": 10, "category": "tea"}) for each in ago]
    return Facts(AT, history={"order.paid": paid}, definitions=definitions_of(CATALOGUE))


@pytest.mark.parametrize(
    ("ago", "interval", "stage"),
    [
        ((), None, "aware"),
        ((24,), None, "first-purchase"),
        ((25,), None, "nearing-dormancy"),
        ((20, 10), 10, "repeat"),
        ((26, 16), 10, "nearing-dormancy"),
        ((240, 120), 120, "repeat"),
        ((40, 40, 20, 20), 20 / 3, "nearing-dormancy"),
        ((5.2, 5.1, 5), 0, "repeat"),
        ((25.2, 25.1, 25), 0, "nearing-dormancy"),
        ((40, 30, 20, 10), 10, "loyal"),
        ((300, 200), 100, "lost"),
    ],
)
def test_overdue_is_measured_by_the_customers_own_interval(
    ago: tuple[float, ...], interval: float | None, stage: str
) -> None:
    facts = days(*ago)
    assert evaluate("profile.days_between_orders", facts) == interval
    assert evaluate("stage()", facts) == stage
