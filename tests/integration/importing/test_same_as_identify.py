"""The quick way of an import and the way of `identify` come to the same customers."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.customers.importing import fresh
from engine.customers.importing.columns import guess
from engine.customers.importing.people import Person
from engine.customers.importing.reading import open_source
from engine.ingest.importing import Asked, Importer, begin
from engine.ingest.intake import accept
from engine.language.catalogue import Catalogue, Property
from engine.language.installation import Told
from engine.language.schema_folder import TOLD
from engine.store import webhooks
from engine.store.database import open_database

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
COLUMNS = ("external_id", "member_number", "phone", "email", "anonymous_id", "tier", "time_zone", "tags",
           "segments", "consent.sms", "at")  # fmt: skip
CATALOGUE = Catalogue(profile={"tier": Property("text")})
CRM = Told("crm", "https://crm.example", "", TOLD, ("tier",))
TABLES = (
    "profiles, identities, identity_links, identity_reviews, merges, consents, static_segments, events, "
    "jobs, job_rejects, webhook_outbox"
)
# Without keys: of two profiles that one transaction made and a later one merged, either is the older.
STATE = {
    "people": """SELECT p.external_id, p.attributes::text, p.addresses::text, p.provenance::text,
            p.time_zone, array_to_string(ARRAY(SELECT t FROM unnest(p.tags) t ORDER BY t COLLATE "C"), ','),
            (SELECT string_agg(i.kind || ':' || i.value, ',' ORDER BY i.kind, i.value) FROM identities i
                WHERE i.profile_id = p.id),
            (SELECT string_agg(c.channel || c.granted || c.at, ',' ORDER BY c.at, c.id) FROM consents c
                WHERE c.profile_id = p.id),
            (SELECT string_agg(s.segment, ',' ORDER BY s.segment) FROM static_segments s
                WHERE s.profile_id = p.id)
        FROM profiles p WHERE p.merged_into IS NULL""",
    "links": "SELECT kind, value, to_kind, to_value, at, verdict FROM identity_links",
    "reviews": "SELECT reason, kind, one_value, two_value, via_value FROM identity_reviews",
    "events": """SELECT e.name, e.properties::text, e.occurred_at, min(i.kind || i.value) FROM events e
        JOIN identities i ON i.profile_id = e.profile_id GROUP BY e.event_id, 1, 2, 3""",
    "told": """SELECT o.event, o.data - 'merged' - 'profile_id', o.at FROM webhook_outbox o""",
    "rejects": "SELECT line, kept, reason FROM job_rejects",
}


def a_row(**cells: Any) -> dict[str, str]:
    return {name: str(value) for name, value in cells.items() if value is not None}


@st.composite
def files(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows of some people who share phones, devices and addresses more often than people do."""
    some = st.none()
    cells = {
        "external_id": some | st.sampled_from(["c-1", "c-2", "c-3", "c-4", "c-5", " c-1 ", "null"]),
        "member_number": some | some | st.sampled_from(["M1", "m 1", "M2"]),
        "phone": some
        | st.sampled_from(["+8613800138000", "+86 138 0013 8000", "+86 138 0013 8001", "12", "+4930556677"]),
        "email": some | st.sampled_from(["a@example.com", "A@Example.com", "ü@bücher.example", "nobody"]),
        "anonymous_id": some | some | st.sampled_from(["a-1", "a-2"]),
        "tier": some | st.sampled_from(["gold", "silver", "'=1"]),
        "time_zone": some | some | st.sampled_from(["Asia/Tokyo", "nowhere"]),
        "tags": some | st.sampled_from(["tea", "vip;tea", ";"]),
        "segments": some | some | st.sampled_from(["testers", "testers,others"]),
        "consent.sms": some | some | st.sampled_from(["yes", "no", "perhaps"]),
        "at": some | st.integers(0, 5).map(lambda n: (NOON - timedelta(minutes=n)).isoformat()),
    }
    return draw(st.lists(st.builds(a_row, **cells), min_size=1, max_size=9))


async def state(connection: AsyncConnection) -> dict[str, list[str]]:
    found = {}
    for name, query in STATE.items():
        found[name] = sorted(str(tuple(row)) for row in await connection.execute(sa.text(query)))
    return found


async def imported(
    url: str, path: Path, rows: Sequence[dict[str, str]], size: int, before: Sequence[dict[str, Any]]
) -> dict[str, list[str]]:
    """What is there after the import, into a database where only `before` was identified."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    await asyncio.to_thread(path.write_text, out.getvalue(), encoding="utf-8")
    database = open_database(url)
    try:
        async with database.begin() as connection:
            await connection.execute(sa.text(f"TRUNCATE {TABLES}"))
            await webhooks.declare(connection, [CRM])
        if before:
            await accept(database, "shop", before, NOON - timedelta(days=1))
        asked = Asked(guess("customers", COLUMNS, CATALOGUE), "file", NOON)
        file = open_source(path, delimiter=",")
        job, _ = await begin(database, file, asked)
        done = await Importer(database, file, size=size).run(job)
        assert done.state == "done", done.error
        async with database.connect() as connection:
            return await state(connection)
    finally:
        await database.dispose()


def never_alone(people: Sequence[Person], *_: Any) -> tuple[list[Person], list[Person]]:
    return [], list(people)


KNOWN = [{"type": "identify", "userId": "c-1", "traits": {"phone": "+8613800138000", "tier": "old"}}]
SHARED = [a_row(external_id="c-1", phone="+8613800138000"), a_row(external_id="c-2", phone="+8613800138000")]


@pytest.fixture(scope="module")
def url_of_run(new_database: Callable[[], str]) -> str:
    return new_database()


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])
@example([a_row(external_id="c-9", phone="12", tier="gold", tags="vip;tea")], 5, False)
@example(SHARED, 1, False)
@example([*SHARED, *SHARED], 2, True)
@example([a_row(anonymous_id="a-1"), a_row(external_id="c-2", anonymous_id="a-1")], 1, False)
@given(files(), st.integers(1, 6), st.booleans())
def test_both_ways_come_to_the_same_customers(
    url_of_run: str,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    size: int,
    known: bool,
) -> None:
    path = tmp_path_factory.mktemp("files") / "people.csv"
    before = KNOWN if known else []

    async def both() -> None:
        quick = await imported(url_of_run, path, rows, size, before)
        with patch.object(fresh, "alone", never_alone):
            plain = await imported(url_of_run, path, rows, size, before)
        different = {name: set(quick[name]) ^ set(plain[name]) for name in STATE}
        assert not any(different.values()), {name: found for name, found in different.items() if found}

    asyncio.run(both())


def test_an_import_comes_to_what_identify_calls_come_to(url_of_run: str, tmp_path: Path) -> None:
    """Provenance and all, but for the instants of rows that do not say when."""
    people = [
        a_row(
            external_id=f"c-{n}", phone=f"+86138001380{n:02d}", tier="gold", tags="vip", at=NOON.isoformat()
        )
        for n in range(20)
    ]

    async def both() -> None:
        found = await imported(url_of_run, tmp_path / "people.csv", people, 7, [])
        database = open_database(url_of_run)
        try:
            async with database.begin() as connection:
                await connection.execute(sa.text(f"TRUNCATE {TABLES}"))
            calls = [
                {
                    "type": "identify",
                    "userId": row["external_id"],
                    "timestamp": row["at"],
                    "traits": {"phone": row["phone"], "tier": row["tier"], "tags": [row["tags"]]},
                }
                for row in people
            ]
            await accept(database, "file", calls, NOON + timedelta(hours=1))
            async with database.connect() as connection:
                expected = await state(connection)
        finally:
            await database.dispose()
        assert found["people"] == expected["people"]
        assert found["links"] == expected["links"]

    asyncio.run(both())
