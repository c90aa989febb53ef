"""Indexes that only some journeys need: built beside the metadata, used by the query, dropped afterwards."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import accelerators, moments
from engine.store.accelerators import PREFIX, for_attribute, for_event
from engine.store.tables import EVENT_PARTITIONS

AT = datetime(2026, 11, 11, tzinfo=UTC)


async def there(database: AsyncEngine) -> set[str]:
    async with database.connect() as connection:
        rows = await connection.execute(
            sa.text("SELECT relname FROM pg_class WHERE starts_with(relname, :prefix)"), {"prefix": PREFIX}
        )
        return {row.relname for row in rows}


async def test_indexes_are_built_once_and_dropped_when_nobody_needs_them(database: AsyncEngine) -> None:
    wanted = [*for_event("order.paid"), *for_attribute("birthday", "year")]
    assert await accelerators.keep(database, wanted) == (EVENT_PARTITIONS + 1, 0)
    assert await accelerators.keep(database, wanted) == (0, 0)
    assert await there(database) == {one.name for one in wanted}
    assert await accelerators.keep(database, for_event("order.paid")) == (0, 1)
    assert await accelerators.keep(database, ()) == (0, EVENT_PARTITIONS)
    assert await there(database) == set()


async def test_two_who_build_at_once_do_not_get_in_each_others_way(database: AsyncEngine) -> None:
    wanted = for_event("order.paid")
    await asyncio.gather(*(accelerators.keep(database, wanted) for _ in range(3)))
    assert await there(database) == {one.name for one in wanted}


async def test_names_with_quotes_and_colons_are_names_like_any_other(database: AsyncEngine) -> None:
    name, attribute = "it's:now \\ ?", "a'b"
    await accelerators.keep(database, [*for_event(name), *for_attribute(attribute, "month")])
    async with database.connect() as connection:
        found, end = await moments.quiet_since(
            connection, name, timedelta(days=1), (AT, moments.LAST), AT + timedelta(days=1), 5, newest=True
        )
        assert (found, end) == ([], None)
        assert await moments.dated(connection, attribute, "month", ["01"], None, moments.FIRST, 5) == []


async def test_the_index_of_an_event_is_what_its_query_uses(database: AsyncEngine) -> None:
    await accelerators.keep(database, for_event("order.paid"))
    async with database.connect() as connection:
        await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        plan = await connection.execute(
            sa.text(
                f"EXPLAIN SELECT event_id FROM events WHERE name = {moments.literal('order.paid')} "
                "AND occurred_at > now() ORDER BY occurred_at, event_id LIMIT 5"
            )
        )
        text = "\n".join(row[0] for row in plan)
    assert text.count(PREFIX) == EVENT_PARTITIONS
    assert "Sort Key: events.occurred_at" in text
    assert "Sort  (" not in text
