"""Both back ends of expressions agree: the closure for one customer, SQL for all, on real PostgreSQL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid5

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.customers.facts import FactsRequest, definitions_of, load_facts
from engine.language.expressions import ExpressionError, Facts, evaluate, holds, parse, requirements
from engine.language.expressions.sql import NotInSql, Setting, Way, condition
from engine.store import batch
from engine.store.database import open_database
from tests.integration.segments.population import (
    NOW,
    ZONES,
    Person,
    any_value,
    catalogues,
    conditions,
    number_values,
    people,
    person_id,
    quoted,
    text_more,
)
from tests.property.test_expressions import expressions

MOMENT = timedelta(microseconds=1)
IDS = uuid5.__globals__["UUID"](int=7)


async def settle(connection: AsyncConnection, population: Sequence[Person]) -> None:
    """Writes the people, each with a stranger who was merged into them."""
    rows: dict[str, list[dict[str, Any]]] = {
        "profiles": [],
        "events": [],
        "consents": [],
        "lists": [],
        "grants": [],
    }
    for number, one in enumerate(population):
        # Over at this very instant, and over in a moment.
        until = {"staff": NOW if number % 2 else NOW + MOMENT, "vip": NOW + MOMENT if number % 2 else NOW}
        grants = {tag: until[tag] for tag in one.tags if tag in until}
        rows["grants"] += [
            {"profile_id": person_id(number), "tag": tag, "expires_at": at} for tag, at in grants.items()
        ]
        rows["profiles"].append(
            {
                "id": person_id(number),
                "key": f"{number}{one.key}",
                "external_id": one.external_id,
                "attributes": one.attributes,
                "addresses": one.addresses,
                "tags": one.tags,
                "stage": one.stage,
                "time_zone": one.time_zone,
                "locale": one.locale,
                "merged_into": None,
                "tags_expire_at": min(grants.values(), default=None),
            }
        )
        merged = {
            "id": person_id(1_000_000 + number),
            "key": f"merged {number}",
            "merged_into": person_id(number),
        }
        rows["profiles"].append({**rows["profiles"][-1], **merged})
        for place, seen in enumerate(one.events):
            message = f"{number}/{place}"
            rows["events"].append(
                {
                    "event_id": str(uuid5(IDS, message)),
                    "sequence": place + 1,
                    "profile_id": person_id(number),
                    "name": seen.name,
                    "properties": seen.properties,
                    "occurred_at": seen.at,
                    "message_id": message,
                }
            )
        rows["consents"] += [
            {
                "profile_id": person_id(number),
                "channel": said.channel,
                "granted": said.granted,
                "at": said.at,
                "category": said.category,
                "purpose": said.purpose,
                "place": place,
            }
            for place, said in enumerate(one.consents)
        ]
        rows["lists"] += [{"segment": name, "profile_id": person_id(number)} for name in one.lists]
    for statement, name in _INSERTS:
        await connection.execute(sa.text(statement), batch.rows(rows[name]))


_PROFILE = {
    "id": "uuid",
    "key": "text",
    "external_id": "text",
    "attributes": "jsonb",
    "addresses": "jsonb",
    "tags": "text[]",
    "stage": "text",
    "time_zone": "text",
    "locale": "text",
    "merged_into": "uuid",
    "tags_expire_at": "timestamptz",
}
_EVENT = {
    "event_id": "uuid",
    "sequence": "bigint",
    "profile_id": "uuid",
    "name": "text",
    "properties": "jsonb",
    "occurred_at": "timestamptz",
    "message_id": "text",
}
_CONSENT = {
    "profile_id": "uuid",
    "channel": "text",
    "granted": "boolean",
    "at": "timestamptz",
    "category": "text",
    "purpose": "text",
    "place": "integer",
}
_INSERTS = [
    (f"INSERT INTO profiles ({', '.join(_PROFILE)}) SELECT * FROM {batch.records(**_PROFILE)}", "profiles"),
    (
        f"INSERT INTO events ({', '.join(_EVENT)}, shard, received_at, source) "
        f"SELECT r.*, 0, r.occurred_at, 't' FROM {batch.records(**_EVENT)}",
        "events",
    ),
    (
        "INSERT INTO consents (profile_id, channel, granted, at, category, purpose) "
        "SELECT profile_id, channel, granted, at, category, purpose "
        f"FROM {batch.records(**_CONSENT)} ORDER BY place",
        "consents",
    ),
    (
        "INSERT INTO static_segments (segment, profile_id) SELECT * FROM "
        f"{batch.records(segment='text', profile_id='uuid')} ON CONFLICT DO NOTHING",
        "lists",
    ),
    (
        "INSERT INTO tag_grants (profile_id, tag, at, expires_at) "
        "SELECT profile_id, tag, expires_at, expires_at "
        f"FROM {batch.records(profile_id='uuid', tag='text', expires_at='timestamptz')}",
        "grants",
    ),
]


async def by_sql(
    connection: AsyncConnection, texts: Sequence[str], setting: Setting, way: Way, now: datetime = NOW
) -> list[set[str]]:
    """Whom each expression holds for, in one query."""
    parts, values = [], dict[str, Any]()
    for number, text in enumerate(texts):
        found = condition(parse(text), setting, now, way, prefix=f"q{number}_")
        values |= found.parameters
        parts.append(
            f"SELECT {number} AS n, p.id FROM profiles p {found.joins} "
            f"WHERE p.merged_into IS NULL AND {found.where}"
        )
    result = await connection.execute(sa.text(" UNION ALL ".join(parts)), values)
    held: list[set[str]] = [set() for _ in texts]
    for row in result:
        held[row.n].add(str(row.id))
    return held


async def facts_of(
    connection: AsyncConnection, count: int, texts: Sequence[str], setting: Setting, now: datetime = NOW
) -> list[Facts]:
    needs = requirements(texts, definitions_of(setting.catalogue))
    requests = [FactsRequest(person_id(number), now, needs) for number in range(count)]
    return await load_facts(connection, requests, setting.catalogue, setting.time_zone, setting.consent_rule)


def with_values(texts: Sequence[str], facts: Facts) -> list[str]:
    """Comparisons of each expression with the very value that the closure gives it."""
    found = []
    for text in texts:
        value = evaluate(text, facts)
        if isinstance(value, str) and "\0" not in value:
            literal = quoted(value)
        elif isinstance(value, bool):
            literal = "true" if value else "false"
        elif isinstance(value, int | float):
            literal = repr(value) if math.copysign(1, value) > 0 else f"({value!r})"
        else:
            found.append(f"exists({text})")
            continue
        found += [f"({text}) == {literal}", f"({text}) != {literal}", f"({text}) >= {literal}"]
    return found


def readable(text: str, setting: Setting, now: datetime = NOW) -> bool:
    try:
        condition(parse(text), setting, now)
    except ExpressionError:
        return False
    except NotInSql:
        return False
    return True


async def compare(
    connection: AsyncConnection,
    population: Sequence[Person],
    texts: Sequence[str],
    setting: Setting,
    now: datetime = NOW,
) -> int:
    facts = await facts_of(connection, len(population), texts, setting, now)
    for way in ("all", "each"):
        held = await by_sql(connection, texts, setting, way, now)
        for text, ids in zip(texts, held, strict=True):
            wanted = {person_id(number) for number, one in enumerate(facts) if holds(text, one)}
            odd = [one for number, one in enumerate(facts) if person_id(number) in ids ^ wanted][:2]
            assert ids == wanted, (way, text, odd, condition(parse(text), setting, now, way))
    return len(population) * len(texts)


class Ground:
    """One database and one event loop for all examples; each is rolled back."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.database: AsyncEngine = open_database(url)
        self.connection: AsyncConnection = self.runner.run(self._open())
        self.compared = 0

    async def _open(self) -> AsyncConnection:
        return await self.database.connect()

    def check(
        self, population: Sequence[Person], texts: Sequence[str], values: Sequence[str], setting: Setting
    ) -> None:
        self.runner.run(self._check(population, texts, values, setting))

    async def _check(
        self, population: Sequence[Person], texts: Sequence[str], values: Sequence[str], setting: Setting
    ) -> None:
        transaction = await self.connection.begin()
        try:
            await settle(self.connection, population)
            readable_values = [text for text in values if readable(f"exists({text})", setting)]
            [first, *_] = await facts_of(self.connection, 1, readable_values, setting)
            wanted = [*texts, *with_values(readable_values, first)]
            wanted = [text for text in wanted if readable(text, setting)]
            if wanted:
                self.compared += await compare(self.connection, population, wanted, setting)
        finally:
            await transaction.rollback()

    def close(self) -> None:
        self.runner.run(self.connection.close())
        self.runner.run(self.database.dispose())
        self.runner.close()


@pytest.fixture(scope="module")
def ground(new_database: Any) -> Any:
    found = Ground(new_database())
    yield found
    found.close()


settings_ = st.builds(
    Setting,
    catalogues,
    st.sampled_from(ZONES),
    st.sampled_from(["opt_in", "opt_in", "not_needed"]),
    st.just(frozenset({"loyal"})),
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(people, min_size=2, max_size=6),
    st.lists(conditions | expressions, min_size=3, max_size=10),
    st.lists(number_values | text_more | any_value, max_size=4),
    settings_,
)
def test_closure_and_sql_agree_on_every_expression_and_profile(
    ground: Ground, population: list[Person], texts: list[str], values: list[str], setting: Setting
) -> None:
    ground.check(population, texts, values, setting)


def test_hundreds_of_pairs_were_compared(ground: Ground) -> None:
    assert ground.compared > 300
