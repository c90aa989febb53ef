"""Indexes that only some journeys need: made when one goes live, dropped when none is left that needs it.

What they speed up works without them, only slower, so that nothing waits for one. They are built without
keeping anybody from writing (`CREATE INDEX CONCURRENTLY`), partition by partition, because PostgreSQL cannot
do that for a partitioned table as a whole. They are no part of the metadata: their names begin with `PREFIX`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store.moments import attribute_text, day_of, literal
from engine.store.tables import EVENT_PARTITIONS

log = logging.getLogger(__name__)

PREFIX: Final = "ix_moments_"
_BUILDER: Final = 0x4B4D  # "KM"; one process builds at a time


@dataclass(frozen=True, slots=True)
class Accelerator:
    """An index. `name` says what it holds: the same index has the same name."""

    name: str
    table: str
    what: str

    @property
    def statement(self) -> str:
        return f"CREATE INDEX CONCURRENTLY {self.name} ON {self.table} {self.what}"


def _named(table: str, what: str) -> Accelerator:
    drawn = hashlib.sha256(f"{table} {what}".encode()).hexdigest()[:16]
    return Accelerator(f"{PREFIX}{drawn}", table, what)


def for_event(name: str) -> list[Accelerator]:
    """Finds events of one name by their instant."""
    what = f"(occurred_at, event_id) WHERE name = {literal(name)}"
    return [_named(f"events_p{number:02}", what) for number in range(EVENT_PARTITIONS)]


def for_attribute(name: str, every: str) -> list[Accelerator]:
    """Finds customers by the day on which a date of theirs comes round."""
    return [_named("profiles", f"(({day_of(attribute_text(name), every)})) WHERE merged_into IS NULL")]


async def keep(database: AsyncEngine, wanted: Iterable[Accelerator]) -> tuple[int, int]:
    """Builds what is missing, drops what is not wanted or half built; how many of each.

    Somebody else who is at it does it alone.
    """
    needed = {one.name: one for one in wanted}
    async with database.connect() as opened:
        connection = await opened.execution_options(isolation_level="AUTOCOMMIT")
        got = await connection.execute(sa.text("SELECT pg_try_advisory_lock(:key, 0)"), {"key": _BUILDER})
        if not got.scalar_one():
            return 0, 0
        try:
            done = await _match(connection, needed)
        except BaseException:
            await connection.invalidate()  # the lock is the connection's
            raise
        await connection.execute(sa.text("SELECT pg_advisory_unlock(:key, 0)"), {"key": _BUILDER})
    return done


async def _match(connection: AsyncConnection, needed: Mapping[str, Accelerator]) -> tuple[int, int]:
    made = dropped = 0
    there = await _standing(connection)
    for name, whole in there.items():
        if name not in needed or not whole:
            await connection.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
            dropped += 1
    for name, one in needed.items():
        if not there.get(name):
            log.info("building an index on %s: %s", one.table, name)
            await connection.execute(sa.text(one.statement))
            made += 1
    return made, dropped


async def _standing(connection: AsyncConnection) -> dict[str, bool]:
    """The accelerators that are there, and whether each is whole."""
    result = await connection.execute(
        sa.text("""
            SELECT c.relname, i.indisvalid AND i.indisready AS whole FROM pg_index i
            JOIN pg_class c ON c.oid = i.indexrelid
            WHERE c.relname LIKE :like AND pg_table_is_visible(c.oid)
        """),
        {"like": PREFIX.replace("_", r"\_") + "%"},
    )
    return {row.relname: row.whole for row in result}
