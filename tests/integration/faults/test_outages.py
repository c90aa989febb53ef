"""The servers go away while customers wait and messages are sent: PostgreSQL, and Temporal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from channels.testing.sink import FakeHttpSink
from engine.ingest.router import Router
from engine.store.database import is_outage, open_database
from engine.store.embedded import EmbeddedPostgres
from engine.temporal.server import start_server
from tests.integration.faults.trial import (
    HOUR,
    START,
    assert_undisturbed,
    orders,
    path_project,
    replay,
    until,
)
from tests.integration.harness import kairos

CUSTOMERS = 8


async def test_a_restart_of_postgresql_loses_and_repeats_nothing(
    postgres: EmbeddedPostgres, database_url: str, temporal_address: str
) -> None:
    async with FakeHttpSink() as sink:
        files = path_project(sink.url)
        messages = orders(CUSTOMERS, apart=HOUR / 2)
        async with kairos(database_url, temporal_address, start=START, speed=14_400, files=files) as running:
            # All in before the outage: an intake without a database takes nothing, and says so.
            await running.send(*(m for m in messages if m["event"] == "order.placed"))

            async def sent(count: int) -> None:
                async def holds() -> bool:
                    return len(sink.ledger.ids) >= count

                await until(f"{count} calls at the sink", holds)

            await sent(3)
            await asyncio.to_thread(postgres.kill)
            await asyncio.sleep(1)
            await asyncio.to_thread(postgres.ensure)
            await sent(CUSTOMERS + 3)
            await asyncio.to_thread(postgres.restart, "immediate")
            await running.ended(CUSTOMERS, 120)
            placed = [m for m in messages if m["event"] == "order.placed"]
            await assert_undisturbed(running.database, files, placed)
        assert (len(sink.ledger.ids), sink.ledger.changed) == (CUSTOMERS * 4, 0)


async def test_a_restart_of_temporal_loses_and_repeats_nothing(database_url: str, tmp_path: Path) -> None:
    temporal = await start_server(tmp_path / "temporal")
    try:
        async with FakeHttpSink() as sink:
            files = path_project(sink.url)
            messages = orders(CUSTOMERS, apart=HOUR / 2)
            async with kairos(
                database_url, temporal.address, start=START, speed=14_400, files=files
            ) as running:
                # Events go on coming in while Temporal is away: they wait in the outbox.
                coming = asyncio.create_task(replay(running, messages))
                for _ in range(1):
                    await asyncio.sleep(3)
                    await asyncio.to_thread(temporal.kill)
                    await asyncio.sleep(1.5)
                    await temporal.start_again()
                await coming
                await running.ended(CUSTOMERS, 120)
                await assert_undisturbed(running.database, files, messages)
            assert (len(sink.ledger.ids), sink.ledger.changed) == (CUSTOMERS * 4, 0)
    finally:
        await asyncio.to_thread(temporal.stop)


async def test_tables_that_do_not_fit_are_an_outage_and_no_fault_of_an_event(empty_database_url: str) -> None:
    """While a migration is under way the router must wait, not pass over every event as broken."""
    database = open_database(empty_database_url)
    try:
        with pytest.raises(DBAPIError) as caught:
            await Router(database).sweep()
    finally:
        await database.dispose()
    assert is_outage(caught.value)
