"""Migrations and metadata say the same, on a real server."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store import database as db
from engine.store.tables import metadata

pytestmark = pytest.mark.integration

_PARTITION = re.compile(r"events_p\d\d|deliveries_(default|\d{4}_\d\d)|alembic_version")


async def test_migrations_make_exactly_the_tables_of_the_metadata(database: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[Any]:
        def ours(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
            return not (kind == "table" and reflected and _PARTITION.fullmatch(name or ""))

        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_object": ours}
        )
        return list(compare_metadata(context, metadata))

    async with database.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_upgrading_again_changes_nothing(database: AsyncEngine) -> None:
    assert await db.current_revision(database) == db.head_revision()
    await db.upgrade(database)
    assert await db.current_revision(database) == db.head_revision()


async def test_the_same_names_are_given_to_constraints(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        named = set(
            (
                await connection.execute(
                    sa.text("SELECT conname FROM pg_constraint WHERE contype IN ('c', 'p', 'u')")
                )
            ).scalars()
        )
    ours = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.name
    }
    assert ours
    assert not {name for name in ours if not any(n == name or n.endswith(name) for n in named)}


async def test_a_server_that_cannot_be_reached_is_said_without_the_password() -> None:
    engine = db.open_database("postgresql://kairos:hunter2@127.0.0.1:1/kairos")
    with pytest.raises(db.DatabaseError, match="cannot be reached") as caught:
        await db.check(engine)
    assert "hunter2" not in str(caught.value)


def test_an_old_server_is_refused_with_what_is_needed() -> None:
    db.require_version(16)
    with pytest.raises(db.DatabaseError, match="PostgreSQL 15; Kairos needs 16"):
        db.require_version(15)
