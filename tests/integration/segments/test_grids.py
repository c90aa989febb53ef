"""Values of both back ends on grids of odd operands: every pair, not only what Hypothesis comes upon."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.expressions import evaluate, parse
from engine.language.expressions.sql import Setting, column
from engine.store.database import open_database
from tests.integration.segments.population import (
    LOCAL,
    NOW,
    NUMBERS,
    ODD_DAYS,
    ODD_MOMENTS,
    ODD_ZONES,
    WORDS,
    ZONES,
    Person,
    catalogue,
    person_id,
)
from tests.integration.segments.test_agreement import compare, facts_of, settle

SETTING = Setting(catalogue("false", "false", "profile.tier"), "Europe/Paris")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    database = open_database(database_url)
    async with database.connect() as connection:
        yield connection
    await database.dispose()


async def values(
    connection: AsyncConnection, text: str, setting: Setting = SETTING, now: datetime = NOW
) -> dict[str, Any]:
    found = column(parse(text), setting, now)
    result = await connection.execute(
        sa.text(f"SELECT p.id, {found.sql} AS v FROM profiles p {found.joins} WHERE p.merged_into IS NULL"),
        found.parameters,
    )
    return {str(row.id): row.v for row in result}


async def same_values(
    connection: AsyncConnection,
    people: Sequence[Person],
    texts: Iterable[str],
    setting: Setting = SETTING,
    now: datetime = NOW,
) -> None:
    await settle(connection, people)
    texts = list(texts)
    facts = await facts_of(connection, len(people), texts, setting, now)
    for text in texts:
        found = await values(connection, text, setting, now)
        for number, one in enumerate(facts):
            assert found[person_id(number)] == evaluate(text, one), (text, one.profile, one.zone)


def doubles(count: int) -> list[float]:
    """Doubles of any bits, the same in every run."""
    draw = random.Random(7)
    found = (struct.unpack("<d", draw.randbytes(8))[0] for _ in itertools.count())
    return list(itertools.islice((each for each in found if abs(each) < 1e308), count))


async def test_arithmetic_of_every_two_numbers_is_the_same(connection: AsyncConnection) -> None:
    numbers = [*NUMBERS, *doubles(16), -7, -5.5, 3, 0.7, 1e-320, -1e-310, 2.0**-1000]
    people = [Person("", attributes={"points": one, "visits": two}) for one in numbers for two in numbers]
    signs = [f"profile.points {sign} profile.visits" for sign in "+-*/%"]
    await same_values(connection, people, [*signs, "-profile.points", "profile.points"])


async def test_totals_of_numbers_as_they_are_written(connection: AsyncConnection) -> None:
    from tests.integration.segments.population import Happened

    draw = random.Random(7)
    people = [
        Person("", events=[Happened("paid", NOW, {"total": draw.choice(NUMBERS)}) for _ in range(size)])
        for size in (0, 1, 1, 2, 2, 3, 3, 4, 5, 9, *[2] * 60)
    ]
    people.append(Person("", events=[Happened("paid", NOW, {"total": 0.1}) for _ in range(10)]))
    await same_values(connection, people, ['total("paid", "total")', 'total("paid", "total", "1d")'])
    assert (await values(connection, 'total("paid", "total")'))[person_id(len(people) - 1)] == 1


async def test_buckets_are_the_same(connection: AsyncConnection) -> None:
    people = [
        Person(word, attributes={"points": n}) for word in WORDS for n in [*NUMBERS, 100, 2**63, 2.0**64, 2.5]
    ]
    texts = [
        'bucket("s", profile.points)',
        'bucket("é", 100)',
        "bucket(profile.tier, 7)",
        'bucket("s", 1e19)',
    ]
    await same_values(connection, people, texts)


@pytest.mark.parametrize("zone", [*ZONES, *ODD_ZONES])
async def test_dates_and_instants_are_read_alike(connection: AsyncConnection, zone: str) -> None:
    written = [*LOCAL, *ODD_MOMENTS, *map(str, ODD_DAYS)]
    written += [
        f"{day}T{hour:02}:{minute:02}"
        for day in ODD_DAYS
        for hour in (0, 1, 2, 3)
        for minute in (0, 15, 30, 45)
    ]
    people = [Person("", attributes={"born": text, "seen": text}, time_zone=zone) for text in written]
    setting = Setting(SETTING.catalogue, zone)
    texts = ["profile.born", "profile.seen", "days_since(profile.born)", "days_since(profile.seen)"]
    texts += [
        'profile.born + "30d"',
        'profile.seen - "36500d"',
        'profile.born - "1h"',
        'profile.seen + "1d12h"',
    ]
    await same_values(connection, people, texts, setting)
    facts = len(people)
    assert facts > 100
    await compare(
        connection, people, [f"profile.born {sign} profile.seen" for sign in ("==", "!=", "<", ">=")], setting
    )
    await compare(
        connection,
        people,
        ["now >= profile.born", "profile.born > now", "profile.born >= profile.trial"],
        setting,
    )


async def test_days_of_the_calendar_are_those_of_the_profile(connection: AsyncConnection) -> None:
    people = [
        Person("", attributes={"born": "2026-03-29"}, time_zone=zone)
        for zone in [*ZONES, *ODD_ZONES, "No/Where"]
    ]
    for now in (NOW, datetime(2026, 3, 29, 11, tzinfo=UTC), datetime(2026, 3, 28, 12, tzinfo=UTC)):
        transaction = await connection.begin_nested()
        await same_values(connection, people, ["days_since(profile.born)"], now=now)
        await compare(connection, people, ["profile.born <= now"], SETTING, now)
        await transaction.rollback()


async def test_lists_and_objects_are_equal_alike(connection: AsyncConnection) -> None:
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    parts: list[Any] = [
        [],
        [1],
        [1.0],
        [2**53],
        [2**53 + 1],
        [None],
        ["1"],
        [True],
        [[1]],
        [{"a": 1}],
        [1, None],
    ]
    parts += [[10**400], deep, deep[0], deep[0][0], [1e15, "é"], ["é", 1e15], [[], {}], [0.1], [-0.0], [0]]
    people = [Person("", attributes={"likes": one, "sizes": two}) for one in parts for two in parts]
    people += [
        Person("", attributes={"home": {"a": one}, "extra": {"a": two}, "likes": [one, two]})
        for one in [*parts, None, 1, 2**53, 2**53 + 1, "1", True, {}, 10**400]
        for two in [*parts[:5], None, 1, 2**53 + 1, "1", True, {}, 10**400, {"a": deep}]
    ]
    await settle(connection, people)
    texts = [
        f"{left} {sign} {right}"
        for left, right in [
            ("profile.likes", "profile.sizes"),
            ("profile.home", "profile.extra"),
            ("profile.home.a", "profile.extra.a"),
            ("[profile.home.a]", "[profile.extra.a]"),
            ("profile.likes", "[profile.home.a, profile.extra.a]"),
            ("profile.likes", "[1]"),
            ("[profile.likes]", "[profile.sizes]"),
            ("[[profile.home.a]]", "[profile.likes]"),
        ]
        for sign in ("==", "!=")
    ]
    texts += [
        f"{left} {sign} {right}"
        for left in (
            "1",
            "9007199254740993",
            '"1"',
            "true",
            "profile.home.a",
            "profile.extra.a",
            "profile.sizes",
        )
        for right in (
            "profile.likes",
            "profile.home.a",
            "[profile.home.a, 1]",
            '[1, true, "1", 9007199254740993]',
        )
        for sign in ("in", "not in")
    ]
    texts += ["exists(profile.home.a)", "exists(profile.likes)", "profile.home.a < profile.extra.a"]
    assert await compare(connection, people, texts, SETTING) > 10_000
